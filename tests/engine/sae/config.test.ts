import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { learningRate } from "../../../engine/optim/schedule.ts";
import {
  learningRateFor,
  resolveConfig,
  scheduleOf,
  stepsOf,
  type TrainingOptions,
} from "../../../engine/sae/config.ts";
import { knobs } from "../../../engine/sae/knobs.ts";

const least: TrainingOptions = { layer: 2, dModel: 64, width: 1024, k: 16, rows: 500_000 };

describe("the training configuration", () => {
  it("has the learning rate 2e-4 at a width of 16384, and double that at a quarter of the width", () => {
    expect(learningRateFor(2 ** 14)).toBe(2e-4);
    expect(learningRateFor(2 ** 12)).toBe(4e-4);
    expect(resolveConfig({ ...least, width: 2 ** 12 }).learningRate).toBe(4e-4);
  });

  it("rises to its rate, stays, and falls to almost nothing at the last step", () => {
    const config = resolveConfig(least);
    const rate = (step: number) => learningRate(scheduleOf(config), step);
    const steps = stepsOf(config);
    expect(steps).toBe(122);
    expect(rate(config.warmupSteps)).toBe(config.learningRate);
    expect(rate(1)).toBeCloseTo(config.learningRate / config.warmupSteps, 12);
    expect(rate(steps - config.decaySteps - 1)).toBe(config.learningRate);
    expect(rate(steps - 1)).toBeCloseTo(config.learningRate / config.decaySteps, 12);
  });

  it("cuts a batch of any size into equal parts of at most 512 rows, or leaves it whole", () => {
    const partsOf = (batchRows: number) => resolveConfig({ ...least, batchRows }).microBatchRows;
    expect([4096, 1500, 300, 1021].map(partsOf)).toEqual([512, 500, 300, 1021]);
  });

  it("gives every knob a value, and the page of numerics a line", async () => {
    const config = resolveConfig(least);
    const page = await readFile(new URL("../../../docs/numerics/sae.md", import.meta.url), "utf8");
    for (const [name, knob] of Object.entries(knobs)) {
      expect(config[name as keyof typeof config], name).toBeDefined();
      expect(page).toContain(`| \`${name}\` | ${knob.default} | ${knob.unit} | ${knob.meaning} | ${knob.source} |`);
    }
  });

  for (const [change, message] of [
    [{ k: 1025 }, /k must be at most the width 1024, got 1025/],
    [{ rows: 100 }, /rows must be at least one batch of 4096, got 100/],
    [{ batchRows: 1000, microBatchRows: 300 }, /microBatchRows must be a divisor of batchRows 1000, got 300/],
    [{ bufferRows: 10 }, /bufferRows must be at least batchRows 4096, got 10/],
    [{ beta2: 1 }, /beta2 must be in \[0, 1\), got 1/],
    [{ learningRate: Number.NaN }, /learningRate must be finite and above 0, got NaN/],
    [{ normFactor: Infinity }, /normFactor must be finite and above 0, got Infinity/],
    [{ width: 1.5 }, /width must be an integer of at least 1, got 1.5/],
    [{ warmupSteps: 200 }, /warmupSteps \+ decaySteps must be at most the 122 steps/],
    [{ momentum: 0.9 }, /there is no knob momentum/],
  ] as const) {
    it(`refuses ${JSON.stringify(change)}, naming the knob`, () => {
      expect(() => resolveConfig({ ...least, ...change })).toThrow(message);
    });
  }
});
