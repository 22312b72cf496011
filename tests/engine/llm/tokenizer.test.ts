import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createChatRenderer, readChatTemplate } from "../../../engine/llm/chat-template.ts";
import { createTokenStream } from "../../../engine/llm/streaming.ts";
import { tokenTexts } from "../../../engine/llm/token-texts.ts";
import { createTokenizer, readTokenizer } from "../../../engine/llm/tokenizer.ts";
import { fixtureFolder } from "./fixtures.ts";

const folder = fixtureFolder("qwen3-tied-f32");
const { tokenizer, config } = await readTokenizer(folder);
const record = JSON.parse(readFileSync(`${folder}/../texts.json`, "utf8")) as {
  texts: { text: string; ids: number[] }[];
  chat: { messages: { role: string; content: string }[]; text: string };
};

describe("the tokenizer", () => {
  it.each(record.texts)("gives the reference library's ids for $text", ({ text, ids }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids, { special: true })).toBe(text);
  });

  it("special tokens are left out of text unless asked for; added tokens that are not special stay", () => {
    const ids = tokenizer.encode("a<think>b<|im_end|>");
    expect(tokenizer.decode(ids)).toBe("a<think>b");
    expect(tokenizer.decode(ids, { special: true })).toBe("a<think>b<|im_end|>");
    expect(tokenizer.isSpecial(tokenizer.idOf("<|im_end|>")!)).toBe(true);
    expect(tokenizer.isSpecial(tokenizer.idOf("<think>")!)).toBe(false);
  });

  it("every text comes back from its ids", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text), { special: true })).toBe(text);
      }),
      { numRuns: 300, seed: 2 },
    );
  });

  it("the texts of tokens joined are the text, and a character of several tokens stands whole with the last of them", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const texts = tokenTexts(tokenizer.encode(text), tokenizer);
        expect(texts.join("")).toBe(text);
        expect(texts.filter((piece) => piece.includes("\ufffd"))).toEqual([]);
      }),
      { numRuns: 300, seed: 3 },
    );
    expect(tokenTexts(tokenizer.encode("🦑").slice(0, -1), tokenizer).at(-1)).toContain("\ufffd");
  });

  it("a decoder of another kind is refused by name", () => {
    expect(() => createTokenizer({ decoder: { type: "Metaspace" } })).toThrow(/"Metaspace"/);
    expect(() => createTokenizer({})).toThrow(/null/);
    const sequence = (...types: string[]) => ({
      decoder: { type: "Sequence", decoders: types.map((type) => ({ type })) },
    });
    expect(() => createTokenizer(sequence("Metaspace"))).toThrow(/"Metaspace"/);
    expect(() => createTokenizer(sequence("ByteLevel", "Strip"))).toThrow(/"Sequence\[ByteLevel, Strip\]"/);
    expect(() => createTokenizer(sequence())).toThrow(/"Sequence\[\]"/);
  });

  it("a sequence whose only decoder is byte-level is that decoder", () => {
    const json = JSON.parse(readFileSync(`${folder}/tokenizer.json`, "utf8")) as Record<string, unknown>;
    const wrapped = createTokenizer({ ...json, decoder: { type: "Sequence", decoders: [json.decoder] } }, config);
    for (const { text, ids } of record.texts) {
      expect(wrapped.encode(text)).toEqual(ids);
      expect(wrapped.decode(ids, { special: true })).toBe(text);
    }
  });
});

describe("the chat template", () => {
  it("renders a chat as the reference library does", async () => {
    const render = (await readChatTemplate(folder, config))!;
    expect(render(record.chat.messages)).toBe(record.chat.text);
  });

  it("what a template raises is its error, and a folder without one has no renderer", async () => {
    const render = createChatRenderer("{{ raise_exception('roles must alternate') }}", {});
    expect(() => render([])).toThrow(/roles must alternate/);
    expect(await readChatTemplate(folder, {})).toBeNull();
  });

  it("variables reach the template", () => {
    const render = createChatRenderer(
      "{% if enable_thinking is defined and not enable_thinking %}no{% else %}yes{% endif %}",
      {},
    );
    expect([render([]), render([], { enable_thinking: false })]).toEqual(["yes", "no"]);
  });
});

describe("streamed text", () => {
  const pieces = (text: string, stops: string[] = []) => {
    const stream = createTokenStream<{ id: number }>(tokenizer, stops);
    const out: { text: string; ids: number[] }[] = [];
    for (const id of tokenizer.encode(text)) {
      const piece = stream.push({ id });
      out.push({ text: piece.text, ids: piece.tokens.map((token) => token.id) });
      if (piece.stopped) return { out, stopped: true };
    }
    const last = stream.flush();
    out.push({ text: last.text, ids: last.tokens.map((token) => token.id) });
    return { out, stopped: last.stopped };
  };
  const joined = (result: ReturnType<typeof pieces>) => result.out.map(({ text }) => text).join("");

  it("characters that are spread over tokens come whole: emoji with joiners, Chinese", () => {
    const text = "好 👩‍🚀🙂 é";
    expect(tokenizer.encode("🙂").length).toBeGreaterThan(1);
    const { out } = pieces(text);
    expect(out.every((piece) => !piece.text.includes("\ufffd"))).toBe(true);
    expect(out.map((piece) => piece.text).join("")).toBe(text);
    expect(out.flatMap(({ ids }) => ids)).toEqual(tokenizer.encode(text));
  });

  it("bytes that never become a character end as U+FFFD", () => {
    const stream = createTokenStream<{ id: number }>(tokenizer, []);
    const first = tokenizer.encode("🙂")[0]!;
    expect(stream.push({ id: first }).text).toBe("");
    expect(stream.flush().text).toBe("\ufffd");
  });

  it("a stop string is found across tokens, cuts before itself and drops the tokens behind the cut", () => {
    const cut = pieces("one two three", ["o th"]);
    expect(cut.stopped).toBe(true);
    expect(joined(cut)).toBe("one tw");
    const shown = tokenizer.decode(cut.out.flatMap(({ ids }) => ids));
    expect("one two three".startsWith(shown)).toBe(true);
    expect(shown.length).toBeLessThan("one two three".length);
  });

  it("the beginning of a stop string that does not go on is text after all", () => {
    expect(joined(pieces("one two thaw", ["o three"]))).toBe("one two thaw");
    expect(joined(pieces("aab", ["aac", "b!"]))).toBe("aab");
  });

  it("for any text and stop strings the text shown is the text before the first stop", () => {
    const small = fc.string({ unit: fc.constantFrom("a", "b", "é", "🙂"), maxLength: 12 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b", "é", "🙂"), minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(small, fc.array(stop, { maxLength: 3 }), (text, stops) => {
        const cuts = stops.map((s) => text.indexOf(s)).filter((at) => at >= 0);
        const result = pieces(text, stops);
        expect(result.stopped).toBe(cuts.length > 0);
        // The first stop to be complete decides; another that starts earlier but ends later never gets its turn.
        if (cuts.length === 0) expect(joined(result)).toBe(text);
        else expect(cuts.includes(joined(result).length)).toBe(true);
        expect(text.startsWith(joined(result))).toBe(true);
      }),
      { numRuns: 500, seed: 3 },
    );
  });
});
