import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readChatTemplate } from "../../engine/llm/chat-template.ts";
import { readTokenizer } from "../../engine/llm/tokenizer.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { trainBpe } from "../../scripts/corpus/bpe.ts";
import { corpus } from "../../scripts/corpus/corpus.ts";
import { readLexicon } from "../../scripts/corpus/lexicon.ts";
import { SPECIAL_TOKENS, VOCABULARY_SIZE } from "../../scripts/train-tokenizer.ts";

const folder = fileURLToPath(new URL("../../assets/models/demo-small", import.meta.url));
const { tokenizer, config } = await readTokenizer(folder);

describe("the bundled tokenizer", () => {
  it("gives back every text of the corpus, and texts it has never seen", () => {
    const records = corpus(readLexicon(), "train", createRandom("round trip"));
    const strange = [
      "Hello 世界!\n\n\tdef f(x):  return x's   ",
      "  мир  ",
      "🙂 ñandú",
      "日本語のテキスト",
      "\u0000\u007f",
    ];
    for (const text of [...Array.from({ length: 300 }, () => records.next().value.text), ...strange]) {
      expect(tokenizer.decode(tokenizer.encode(text), { special: true })).toBe(text);
    }
  });

  // Reference: transformers 5.23.0, AutoTokenizer.from_pretrained(folder)(text)["input_ids"].
  it("splits texts exactly as the transformers library does", () => {
    expect(Array.from(tokenizer.encode("Yesterday morning, my sister's cat: 12 + 7 = 19"))).toEqual([
      2953, 921, 14, 766, 2511, 3616, 2873, 28, 223, 19, 20, 363, 223, 25, 326, 223, 19, 27,
    ]);
    expect(Array.from(tokenizer.encode("<|im_start|>user\n你好！<|im_end|>\n"))).toEqual([
      1, 337, 201, 491, 641, 465, 2, 201,
    ]);
    expect(Array.from(tokenizer.encode("Привет, мир! مرحبا ¿Qué tal?"))).toEqual([
      962, 278, 283, 835, 14, 410, 283, 278, 3, 380, 277, 393, 1073, 1209, 51, 806, 265, 355, 33,
    ]);
  });

  it("keeps the three special tokens whole, at the start of the vocabulary", () => {
    SPECIAL_TOKENS.forEach((token, id) => {
      expect(tokenizer.idOf(token)).toBe(id);
      expect(Array.from(tokenizer.encode(`a${token}b`))).toContain(id);
    });
    expect(VOCABULARY_SIZE).toBe(4096);
  });

  it("writes a conversation in ChatML", async () => {
    const render = await readChatTemplate(folder, config);
    const messages = [
      { role: "user", content: "Hello!" },
      { role: "assistant", content: "Hi." },
    ];
    const text = "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\nHi.<|im_end|>\n";
    expect(render!(messages)).toBe(`${text}<|im_start|>assistant\n`);
  });
});

describe("the byte-pair trainer", () => {
  const options = { pattern: /\p{L}+|[^\p{L}]/gu, maxTokenBytes: 8, maxWideTokenBytes: 6 };

  it("merges the most frequent pair first, and among equals the one that sorts first", () => {
    const { merges } = trainBpe(["low low low lower newest newest"], { ...options, size: 259 });
    expect(merges).toEqual([
      ["l", "o"],
      ["lo", "w"],
      ["e", "s"],
    ]);
  });

  it("makes no token longer than its limits", () => {
    const { vocabulary } = trainBpe(["abcdefghijklmno ".repeat(50), "因为天气很好".repeat(50)], {
      ...options,
      size: 300,
    });
    for (const token of vocabulary) {
      expect([...token].length).toBeLessThanOrEqual(/[\u00e3-\u00ef]/.test(token) ? 6 : 8);
    }
    expect(vocabulary.length).toBeGreaterThan(256);
  });
});
