import { describe, expect, test } from "vitest";
import { type ContrastStatistic, contrastValues, weigh } from "../../../engine/features/contrast.ts";
import { bootstrapIntervals, permutationTest } from "../../../engine/features/contrast-inference.ts";
import { createSampleActivations, type SampleActivations } from "../../../engine/features/sample-activations.ts";
import { createRandom, type Random } from "../../../engine/runtime/random.ts";

/** Dense activations of one sample, [tokens][features]. */
type Dense = number[][];

const width = 7;
function randomSample(random: Random): Dense {
  return Array.from({ length: 1 + random.int(5) }, () =>
    Array.from({ length: width }, (_, f) => (random.float() < 0.3 ? Math.round(random.float() * 8 * (f + 1)) / 8 : 0)),
  );
}

function collect(samples: readonly Dense[], features = width): SampleActivations {
  const builder = createSampleActivations(features);
  for (const sample of samples) {
    for (const token of sample) {
      const active = [...token.keys()].filter((f) => token[f]! > 0);
      builder.addToken(
        active,
        active.map((f) => token[f]!),
      );
    }
    builder.endSample();
  }
  return builder.finish();
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const peak = (sample: Dense, f: number) => Math.max(0, ...sample.map((token) => token[f]!));

/** By definition, from the dense numbers. */
function expected(statistic: ContrastStatistic, groups: readonly Dense[][], f: number): number {
  const [positive, ...others] = groups as [Dense[], ...Dense[][]];
  if (statistic === "auc") {
    const area = (other: Dense[]) =>
      mean(
        positive.flatMap((a) => other.map((b) => (peak(a, f) > peak(b, f) ? 1 : peak(a, f) === peak(b, f) ? 0.5 : 0))),
      );
    return mean(others.map(area));
  }
  const value = (samples: Dense[]) =>
    statistic === "mean_difference"
      ? mean(samples.flatMap((sample) => sample.map((token) => token[f]!)))
      : mean(samples.map((sample) => (peak(sample, f) > 0 ? 1 : 0)));
  return value(positive) - mean(others.map(value));
}

describe("a contrast", () => {
  test("is what its definition says, for two groups and for several", () => {
    const random = createRandom("contrast");
    for (let round = 0; round < 20; round++) {
      for (const groupCount of [2, 4]) {
        const groups = Array.from({ length: groupCount }, () =>
          Array.from({ length: 2 + random.int(6) }, () => randomSample(random)),
        );
        const data = collect(groups.flat());
        const group_S = Uint8Array.from(groups.flatMap((samples, group) => samples.map(() => group)));
        const statistics = ["mean_difference", "firing_rate_difference", "auc"] as const;
        for (const statistic of statistics) {
          const value_F = contrastValues(weigh(data, statistic), group_S, groupCount);
          for (let f = 0; f < width; f++) expect(value_F[f]).toBeCloseTo(expected(statistic, groups, f), 5);
        }
      }
    }
  });

  test("of a group without a token is refused", () => {
    const data = collect([[[1, 0, 0, 0, 0, 0, 0]], []]);
    expect(() => contrastValues(weigh(data, "mean_difference"), Uint8Array.of(0, 1), 2)).toThrow(
      /group 1 has no tokens/,
    );
  });

  test("refuses a feature outside the dictionary and a NaN", () => {
    expect(() => createSampleActivations(3).addToken([3], [1])).toThrow(/\[0, 3\), got 3/);
    expect(() => createSampleActivations(3).addToken([1], [Number.NaN])).toThrow(/feature 1 is NaN/);
  });
});

/** 40 + 40 samples: feature 0 is larger in the positives, feature 1 is noise, feature 2 always fires alike. */
function planted(random: Random, effect: number) {
  const samples = Array.from(
    { length: 80 },
    (_, s): Dense => [[Math.max(0, random.normal() + 2 + (s < 40 ? effect : 0)), Math.max(0, random.normal() + 1), 1]],
  );
  return { data: collect(samples, 3), group_S: Uint8Array.from({ length: 80 }, (_, s) => (s < 40 ? 0 : 1)) };
}

describe("inference", () => {
  test("finds a planted difference and not the noise beside it", () => {
    const { data, group_S } = planted(createRandom("planted"), 1.5);
    for (const statistic of ["mean_difference", "auc"] as const) {
      const found = permutationTest(weigh(data, statistic), group_S, 2, { shuffles: 199, random: createRandom(1) });
      expect(found.p_F[0]).toBe(1 / 200);
      expect(found.adjusted_F[0]).toBe(1 / 200);
      expect(found.p_F[2]).toBe(1);
      for (let f = 0; f < 3; f++) expect(found.adjusted_F[f]).toBeGreaterThanOrEqual(found.p_F[f]!);
    }
  });

  test("without any difference p-values below 5 % come about once in twenty", () => {
    let below = 0;
    for (let round = 0; round < 200; round++) {
      const { data, group_S } = planted(createRandom(`null ${round}`), 0);
      const { p_F } = permutationTest(weigh(data, "mean_difference"), group_S, 2, {
        shuffles: 39,
        random: createRandom(round),
      });
      if (p_F[0]! <= 0.05) below++;
    }
    // 200 trials at 5 %: outside of this once in 100,000 seeds.
    expect(below).toBeGreaterThanOrEqual(1);
    expect(below).toBeLessThanOrEqual(26);
  });

  test("95 % intervals hold the true difference in about 95 of 100 experiments", () => {
    let held = 0;
    for (let round = 0; round < 100; round++) {
      const { data, group_S } = planted(createRandom(`interval ${round}`), 3);
      const [interval] = bootstrapIntervals(weigh(data, "mean_difference"), group_S, 2, [0], {
        draws: 200,
        random: createRandom(round),
      });
      // Both means are far enough above 0 that the cut at 0 changes them by less than 0.01.
      if (interval!.low <= 3 && 3 <= interval!.high) held++;
    }
    expect(held).toBeGreaterThanOrEqual(84);
  });

  test("the interval of an AUC stays within 0 and 1, and is a point where the groups do not overlap", () => {
    const sample = (value: number) => [[value, value % 3, 0, 0, 0, 0, 0]];
    const data = collect([9, 8, 7, 6, 1, 2, 3, 4, 5].map(sample));
    const group_S = Uint8Array.of(0, 0, 0, 0, 1, 1, 1, 2, 2);
    const weighted = weigh(data, "auc");
    const [apart, mixed] = bootstrapIntervals(weighted, group_S, 3, [0, 1], { draws: 300, random: createRandom(4) });
    expect(contrastValues(weighted, group_S, 3)[0]).toBeCloseTo(1, 12);
    expect(apart!.low).toBeCloseTo(1, 12);
    expect(apart!.high).toBeCloseTo(1, 12);
    expect(mixed!.low).toBeGreaterThanOrEqual(0);
    expect(mixed!.high).toBeLessThanOrEqual(1);
    expect(mixed!.low).toBeLessThan(mixed!.high);
  });

  test("is the same under the same seed", () => {
    const { data, group_S } = planted(createRandom("again"), 0.5);
    const run = () => permutationTest(weigh(data, "auc"), group_S, 2, { shuffles: 50, random: createRandom(9) });
    expect(run()).toEqual(run());
  });
});
