import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { createChatRenderer } from "../../../engine/llm/chat-template.ts";
import { TimeLimitError, withinTime } from "../../../engine/llm/time-limit.ts";
import { createTokenizer } from "../../../engine/llm/tokenizer.ts";
import { fixtureFolder } from "./fixtures.ts";

const limitMs = 100;
const turns = [{ role: "user", content: "Hello" }];

it("work within its time gives its value, and its own errors are its own", () => {
  expect(withinTime(5_000, () => `${withinTime(5_000, () => "inner")} and outer`)).toBe("inner and outer");
  const fails = () =>
    withinTime(5_000, () => {
      throw new RangeError("its own");
    });
  expect(fails).toThrow(new RangeError("its own"));
});

it("a loop, one that catches what stops it, and a regular expression that backtracks for ever are stopped", () => {
  const text = `${"a".repeat(60)}b`;
  const endless: (() => unknown)[] = [
    () => {
      for (;;);
    },
    () => {
      for (;;) {
        try {
          for (;;);
        } catch {}
      }
    },
    () => /^(a+)+$/.test(text),
    () => text.replace(/(?:\p{L}+)+!/gu, ""),
  ];
  for (const work of endless) expect(() => withinTime(limitMs, work)).toThrow(TimeLimitError);
  expect(withinTime(5_000, () => 1)).toBe(1);
});

it("a chat template that does not end is refused with its limit, and the next one renders", () => {
  const endless =
    "{% for a in range(3000) %}{% for b in range(3000) %}{% for c in range(3000) %}{% endfor %}{% endfor %}{% endfor %}";
  expect(() => createChatRenderer(endless, {}, limitMs)(turns)).toThrow(
    /the chat template refused the messages: it did not end within 0\.1 s/,
  );
  expect(createChatRenderer("{{ messages[0].content }}", {}, 5_000)(turns)).toBe("Hello");
});

it("a tokenizer whose pattern backtracks for ever is refused with the text's length, and reads other texts as before", () => {
  const json = JSON.parse(readFileSync(`${fixtureFolder("qwen3-tied-f32")}/tokenizer.json`, "utf8"));
  const pattern = { type: "Split", pattern: { Regex: "(?:[a-z]+)+!" }, behavior: "Isolated", invert: false };
  const pretokenizers = [pattern, ...(json.pre_tokenizer.pretokenizers ?? [json.pre_tokenizer])];
  const hostile = createTokenizer({ ...json, pre_tokenizer: { type: "Sequence", pretokenizers } }, {}, limitMs);
  const text = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
  expect(() => hostile.encode(text)).toThrow(/patterns of tokenizer.json on a text of 52 characters: it did not end/);
  expect(hostile.encode("12 34")).toEqual(createTokenizer(json).encode("12 34"));
});
