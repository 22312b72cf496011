import { describe, expect, test } from "vitest";
import type { RequestEvent } from "../../domain/request.ts";
import { coalesce } from "../../workers/serving.ts";

const delta = (choice: number, text: string, logprob?: number): RequestEvent => ({
  type: "delta",
  data: {
    choice,
    text,
    ...(logprob === undefined ? {} : { logprobs: [{ token: text, token_id: 1, bytes: [], logprob, top: [] }] }),
  },
});

describe("events on their way to the database", () => {
  test("pieces of one choice join, and choices keep their order", () => {
    const ended: RequestEvent = {
      type: "choice_ended",
      data: { choice: 0, finish_reason: "stop", completion_tokens: 3 },
    };
    expect(coalesce([delta(0, "a"), delta(0, "b"), delta(1, "x"), delta(0, "c"), ended])).toEqual([
      delta(0, "ab"),
      delta(1, "x"),
      delta(0, "c"),
      ended,
    ]);
  });

  test("no log-probability is lost", () => {
    const [joined] = coalesce([delta(0, "a", -1), delta(0, "b", -2), delta(0, "c")]);
    expect(joined).toMatchObject({ data: { text: "abc", logprobs: [{ logprob: -1 }, { logprob: -2 }] } });
  });

  test("the events given are left as they were", () => {
    const events = [delta(0, "a", -1), delta(0, "b", -2)];
    coalesce(events);
    expect(events).toEqual([delta(0, "a", -1), delta(0, "b", -2)]);
  });
});
