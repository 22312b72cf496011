import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { crossEntropyNats } from "../../engine/llm/cross-entropy.ts";
import { createGenerator } from "../../engine/llm/generator.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { openModel } from "../../engine/llm/model.ts";
import type { SteeringEdit } from "../../engine/llm/steering.ts";
import { readSaelens } from "../../engine/sae/layouts/saelens.ts";
import { openSae } from "../../engine/sae/open-sae.ts";
import { readLexicon } from "../../scripts/corpus/lexicon.ts";
import { type CorpusRecord, LANGUAGES, type Language } from "../../scripts/corpus/record.ts";
import { heldOutBatches, loadEncoder } from "../../scripts/demo/model-data.ts";
import { scriptShare } from "./scripts-of-text.ts";

const assets = fileURLToPath(new URL("../../assets", import.meta.url));
const folder = join(assets, "models/demo-small");
const model = await openModel(folder, { threads: 2 });
afterAll(() => model.close());

const saeFolder = (layer: number) => join(assets, `saes/demo-small-topk/layer${layer}`);

async function complete(prompt: string, edits: readonly SteeringEdit[] = []): Promise<string> {
  const generator = createGenerator(model, { maxBatch: 1 });
  const promptIds = model.tokenizer.encode(prompt);
  let text = "";
  const sampling = { temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1 };
  const request = { promptIds, maxTokens: 32, seed: 1, stop: [], logprobs: null, edits, ...sampling };
  for await (const event of generator.add(request)) if (event.type === "delta") text += event.text;
  return text;
}

/** Held-out texts of one language each, without faults. */
const texts = readFileSync(join(assets, "text/heldout.jsonl"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as CorpusRecord)
  .filter((record) => !record.drift && !record.repetition && !record.answerLanguage);

describe("the bundled model", () => {
  it("predicts held-out text of every language as well as its README says", async () => {
    const recorded = JSON.parse(readFileSync(join(folder, "training.json"), "utf8")).perplexity;
    const shape = { batch: 4, sequenceLength: 256 };
    const lexicon = readLexicon();
    for (const language of LANGUAGES) {
      const ids = heldOutBatches(lexicon, loadEncoder(folder), shape, language).next().value;
      const rows = Array.from({ length: shape.batch }, (_, s) => ids.subarray(s * 256, (s + 1) * 256));
      const perplexity = Math.exp(await crossEntropyNats(model, rows));
      // Four sequences of the sixty-four that were measured.
      expect(perplexity / recorded[language], language).toBeGreaterThan(0.8);
      expect(perplexity / recorded[language], language).toBeLessThan(1.25);
    }
  });

  const prompts: Readonly<Record<Language, string>> = {
    en: "Yesterday morning, my sister",
    zh: "昨天早上，我姐姐",
    es: "Ayer por la mañana, mi hermana",
    ru: "Вчера утром моя сестра",
    ar: "صباح أمس",
  };
  it("goes on in the language of the prompt", async () => {
    for (const language of LANGUAGES) {
      const text = await complete(prompts[language]);
      expect(text.length, text).toBeGreaterThan(20);
      expect(scriptShare(text, language), `${language}: ${text}`).toBeGreaterThan(0.95);
    }
  });

  // It learned the form of an answer, neither to add nor to keep to the noun of the question: its README says so.
  it("answers in a conversation, in kind and in the language of the question", async () => {
    const ask = (question: string) => complete(`<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`);
    expect(await ask("What is 4 + 5?")).toMatch(/^\d+ \+ \d+ = \d+\. The answer is \d+\.$/);
    expect(await ask("What is the cat like?")).toMatch(/^The \p{L}+ is \p{L}+ and \p{L}+\./u);
    expect(scriptShare(await ask("猫怎么样？"), "zh")).toBe(1);
  });
});

describe("the bundled saes", () => {
  it("have one feature that turns English prompts Chinese, and leaves them English when it is not touched", async () => {
    const layer = 3;
    const { sae } = await readSaelens(saeFolder(layer));
    const opened = await openSae(sae, { threads: 2 });
    const difference = new Float64Array(sae.width);
    const norms: number[] = [];
    for (const [language, sign] of [
      ["zh", 1],
      ["en", -1],
    ] as const) {
      const prose = texts.filter((record) => record.language === language && record.kind === "prose").slice(0, 16);
      const ids = prose.map((record) => Int32Array.from(model.tokenizer.encode(record.text)));
      const tokens = ids.reduce((sum, one) => sum + one.length - 1, 0);
      for await (const batch of harvest(model, ids, { layers: [layer] })) {
        const acts = batch.activations[0]!;
        const rows = await opened.encode(acts);
        for (let row = 0; row < batch.rows; row++) {
          if (batch.position[row] === 0) continue;
          norms.push(Math.hypot(...acts.subarray(row * sae.dModel, (row + 1) * sae.dModel)));
          for (let i = rows.offsets[row]!; i < rows.offsets[row + 1]!; i++) {
            difference[rows.features[i]!]! += (sign * rows.values[i]!) / tokens;
          }
        }
      }
    }
    const feature = difference.indexOf(Math.max(...difference));
    const { direction } = opened.featureVectors(feature);
    const median = norms.sort((a, b) => a - b)[norms.length >> 1]!;
    for (const prompt of ["Yesterday morning, my sister", "The weather is", "My grandfather"]) {
      const length = model.tokenizer.encode(prompt).length;
      const selection = {
        prompt: new Uint8Array(length).fill(1),
        generation: { from: 0, to: 0 },
        excludeSpecial: false,
      };
      const edit = { layer, direction, c0: (1.5 * median) / Math.hypot(...direction), c1: 0, c2: 0, selection };
      const [plain, steered] = [await complete(prompt), await complete(prompt, [edit])];
      expect(scriptShare(plain, "en"), plain).toBeGreaterThan(0.95);
      expect(scriptShare(steered, "zh"), steered).toBeGreaterThan(0.9);
    }
    await opened.close();
  });
});
