import { expect, test } from "vitest";
import { isProblem } from "../../domain/problem.ts";
import { batchRequest, checkBatchBody, customIdOf, parseBatchLine, sampleAsLine } from "../../domain/steering-batch.ts";

const body = { model: "m", prompt: "Once", max_tokens: 4 };

test("a line in OpenAI's envelope and a bare line are the same request", () => {
  const enveloped = parseBatchLine({ custom_id: "a", method: "POST", url: "/v1/completions", body }, {});
  expect(enveloped).toEqual({ customId: "a", url: "/v1/completions", body });
  expect(parseBatchLine({ custom_id: "a", ...body }, {})).toEqual(enveloped);
});

test("a line's own fields win over the job's, and messages make it a chat", () => {
  const defaults = { body: { model: "m", max_tokens: 9 } };
  expect(parseBatchLine({ custom_id: "a", prompt: "x", max_tokens: 1 }, defaults).body).toEqual({
    ...{ model: "m", prompt: "x", max_tokens: 1 },
  });
  const messages = [{ role: "user", content: "Hello" }];
  expect(parseBatchLine({ custom_id: "a", messages }, defaults).url).toBe("/v1/chat/completions");
  expect(parseBatchLine({ custom_id: "a", prompt: "x" }, { url: "/v1/chat/completions" }).url).toBe(
    "/v1/chat/completions",
  );
});

const refusalOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    if (isProblem(error)) return [error.code, error.errors[0]?.pointer];
    throw error;
  }
  return null;
};

test("what is no request is refused where it stands", () => {
  const parsed = (value: unknown) => refusalOf(() => parseBatchLine(value, {}));
  expect(parsed("text")).toEqual(["VALIDATION_FAILED", undefined]);
  expect(parsed(body)).toEqual(["VALIDATION_FAILED", "/custom_id"]);
  expect(parsed({ custom_id: "", ...body })).toEqual(["VALIDATION_FAILED", "/custom_id"]);
  expect(parsed({ custom_id: "a", method: "GET", ...body })).toEqual(["VALIDATION_FAILED", "/method"]);
  expect(parsed({ custom_id: "a", url: "/v1/embeddings", ...body })).toEqual(["VALIDATION_FAILED", "/url"]);
  expect(parsed({ custom_id: "a", url: "/v1/completions", body, extra: 1 })).toEqual(["VALIDATION_FAILED", "/extra"]);
  expect(customIdOf({ custom_id: "a", url: "/v1/embeddings" })).toBe("a");
  expect(customIdOf({ custom_id: 7 })).toBeNull();
});

test("a body is judged by the schema of its route, and a stream has no reader", () => {
  const judged = (fields: object) =>
    refusalOf(() => batchRequest(parseBatchLine({ custom_id: "a", ...body, ...fields }, {})));
  expect(judged({})).toBeNull();
  expect(judged({ temprature: 1 })).toEqual(["VALIDATION_FAILED", "/temprature"]);
  expect(judged({ n: 0 })).toEqual(["VALIDATION_FAILED", "/n"]);
  expect(judged({ stream: true })).toEqual(["UNSUPPORTED_PARAMETER", "/stream"]);
  expect(judged({ stream: false })).toBeNull();
});

test("a sample with a custom_id is a line, and of another the text is the prompt", () => {
  expect(sampleAsLine({ text: "Once", custom_id: "a", prompt: "Once", seed: 1 }, 1, {})).toEqual({
    ...{ custom_id: "a", prompt: "Once", seed: 1 },
  });
  expect(sampleAsLine({ text: "Once", custom_id: "a" }, 1, {})).toEqual({ custom_id: "a", prompt: "Once" });
  expect(sampleAsLine({ text: "Once", language: "en" }, 3, {})).toEqual({ custom_id: "sample-3", prompt: "Once" });
  const url = "/v1/chat/completions" as const;
  const messages = [{ role: "user", content: "Once" }];
  expect(sampleAsLine({ text: "Once" }, 3, { url })).toEqual({ custom_id: "sample-3", messages });
  const turns = [{ role: "system", content: "Be brief." }, ...messages];
  expect(sampleAsLine({ text: "Be brief.\nOnce", messages: turns }, 3, { url })).toMatchObject({ messages: turns });
});

test("what no line could have is refused in the job's own body", () => {
  const checked = (fields: object, url?: "/v1/completions") =>
    refusalOf(() => checkBatchBody({ body: { ...fields }, ...(url ? { url } : {}) }, "/input"));
  expect(checked({ model: "m", messages: [{ role: "user", content: "x" }], top_logprobs: 2 })).toBeNull();
  expect(checked({ temprature: 1 })).toEqual(["VALIDATION_FAILED", "/input/body/temprature"]);
  expect(checked({ top_logprobs: 2 }, "/v1/completions")).toEqual(["VALIDATION_FAILED", "/input/body/top_logprobs"]);
  expect(checked({ temperature: 3 })).toEqual(["VALIDATION_FAILED", "/input/body/temperature"]);
});
