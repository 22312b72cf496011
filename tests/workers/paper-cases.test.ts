import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SteeringSweepResult, SteeringSweepSettings } from "../../domain/sweep.ts";
import type { Json } from "../../platform/jobs.ts";
import { type Deployment, deploy } from "./deployment.ts";

// The two cases of the paper's section 3 on the demonstration model, and what must not count as one. All measured numbers are data.
interface Case {
  readonly name: string;
  readonly layer: number;
  readonly feature: number;
  readonly op: SteeringSweepSettings["op"];
  readonly strength?: number;
  readonly unit?: "residual_norm";
  readonly prompts: "english" | "switching";
  readonly apply: NonNullable<SteeringSweepSettings["apply"]>;
  readonly direction: "more" | "less";
  readonly works: boolean;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly baselineAtLeast?: number;
  readonly baselineAtMost?: number;
  readonly measured: {
    readonly steered: number;
    readonly baseline: number;
    readonly random: readonly number[];
    /** null: there was no best to be judged. */
    readonly negative: number | null;
    readonly perplexity_ratio: number;
  };
}
interface PaperCases {
  readonly prompts: Readonly<Record<Case["prompts"], string[]>>;
  readonly cases: readonly Case[];
}
const { prompts, cases }: PaperCases = JSON.parse(readFileSync("tests/fixtures/steering/paper-cases.json", "utf8"));

let deployment: Deployment;
let model_id: string;
const saes = new Map<number, string>();

beforeAll(async () => {
  deployment = await deploy({ MODEL_ROOTS: "assets" });
  await deployment.worker("batch");
  const source = (path: string) => ({ type: "directory", path: `assets/${path}` });
  const model = await deployment.run("model.import", { name: "demo", source: source("models/demo-small") });
  model_id = (model.result as { model_id: string }).model_id;
  for (const layer of new Set(cases.map((one) => one.layer))) {
    const files = source(`saes/demo-small-topk/layer${layer}`);
    const input = { name: `layer${layer}`, model_id, layer, source: files, layout: "saelens" };
    const imported = await deployment.run("sae.import", input);
    saes.set(layer, (imported.result as { sae_ids: string[] }).sae_ids[0]!);
  }
});
afterAll(() => deployment.close());

async function sweep(one: Case): Promise<SteeringSweepResult> {
  const settings: SteeringSweepSettings = {
    ...{ model_id, prompts: prompts[one.prompts], features: [`${saes.get(one.layer)}:${one.feature}`] },
    ...{ op: one.op, strengths: one.strength === undefined ? [] : [one.strength], apply: one.apply, chat: false },
    ...(one.unit ? { unit: one.unit } : {}),
    goal: { type: "script", script: "Han", direction: one.direction },
    ...{ max_tokens: 16, temperature: 0, seed: 0, held_out: 0.5, draws: 1000 },
    controls: { random_features: 2, negative_strength: true },
    // Of 16 tokens the first, which changes the language, is a surprise of its own.
    limits: { perplexity_ratio: 5, distinct_ratio: 0.5, length_ratio: 0.5 },
  };
  return (await deployment.run("steering.sweep", settings as unknown as Json)).result as unknown as SteeringSweepResult;
}

for (const one of cases) {
  test(one.name, async () => {
    const result = await sweep(one);
    const [cell] = result.cells;
    const goal = (arm: string) => result.arms.filter((each) => each.arm === arm).map((each) => each.goal.mean);
    expect(result.verdict.works, result.verdict.summary).toBe(one.works);
    expect(cell!.prompts).toBeGreaterThanOrEqual(20);
    expect(cell!.goal.mean).toBeGreaterThanOrEqual(one.atLeast ?? 0);
    expect(cell!.goal.mean).toBeLessThanOrEqual(one.atMost ?? 1);
    expect(result.baseline.goal.mean).toBeGreaterThanOrEqual(one.baselineAtLeast ?? 0);
    expect(result.baseline.goal.mean).toBeLessThanOrEqual(one.baselineAtMost ?? 1);
    // Texts are exact on one instruction set; on another a few of the 24 may turn out otherwise.
    const near = (value: number, recorded: number) => expect(Math.abs(value - recorded)).toBeLessThan(0.2);
    near(cell!.goal.mean, one.measured.steered);
    near(result.baseline.goal.mean, one.measured.baseline);
    for (const [i, value] of goal("random_feature").entries()) near(value, one.measured.random[i]!);
    for (const value of goal("negative_strength")) near(value, one.measured.negative!);
  });
}
