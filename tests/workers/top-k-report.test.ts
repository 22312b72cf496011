import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { ResolvedEdit } from "../../domain/request.ts";
import { maximumReportedTokens } from "../../domain/steering.ts";
import { type LanguageModel, openModel } from "../../engine/llm/model.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { type OpenedSae, openSae } from "../../engine/sae/open-sae.ts";
import { toEngineEdits } from "../../workers/steering.ts";
import { countInTopK } from "../../workers/top-k-report.ts";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const dModel = 48;
const width = 8;
const random = createRandom("top k report");
const numbers = (count: number) => Float32Array.from({ length: count }, () => random.normal());

let model: LanguageModel;
let sae: OpenedSae;
beforeAll(async () => {
  model = await openModel("tests/fixtures/models/qwen3-tied-f32", { threads: 1 });
  sae = await openSae({
    dModel,
    width,
    rule: { kind: "topk", k: width },
    W_enc_FD: numbers(width * dModel),
    b_enc_F: numbers(width).fill(100),
    W_dec_FD: numbers(width * dModel),
    b_dec_D: numbers(dModel),
  });
});
afterAll(async () => {
  await sae.close();
  await model.close();
});

const steered: ResolvedEdit = {
  layer: 1,
  feature: { sae_id: "sae_a", index: 1, layer: 1 },
  vector: null,
  op: "ablate",
  value: null,
  unit: null,
  residual_norm: null,
  max_activation: null,
  apply: {},
  gate: null,
};

async function count(promptTokens: number, fedBack: number): Promise<(number | null)[]> {
  const prompt = Int32Array.from({ length: promptTokens }, (_, position) => 10 + (position % 200));
  const place = { length: promptTokens, isSpecial: () => false };
  const edits = toEngineEdits([steered], new Map([["sae_a", sae]]), place, fedBack + 1);
  const worker = { opened: sae, statistics: null, sizeBytes: 0, close: async () => {} };
  const saes = new Map([["sae_a", { sae: worker }]]);
  const sampled = Array.from({ length: fedBack }, () => 12);
  return await countInTopK({ prompt, resolved: [steered], edits }, sampled, model, saes);
}

test("a steered text is read again for its report up to a length, prompt and completion together", async () => {
  // An sae that keeps all of its features, each of them on everywhere: every touched token counts.
  expect(await count(20, 10)).toEqual([30]);
  expect(await count(maximumReportedTokens - 10, 11)).toEqual([null]);
});
