import { expect, it } from "vitest";
import { detectionScore } from "../../../engine/features/detection-score.ts";

it("is the mean of the two shares, whatever their sizes", () => {
  expect(detectionScore({ found: 9, active: 10, passed: 1, silent: 2 })?.score).toBeCloseTo(0.7, 12);
  expect(detectionScore({ found: 20, active: 20, passed: 0, silent: 20 })?.score).toBe(0.5);
});

it("is absent where there are texts of one kind only", () => {
  expect(detectionScore({ found: 0, active: 0, passed: 3, silent: 3 })).toBeNull();
  expect(detectionScore({ found: 3, active: 3, passed: 0, silent: 0 })).toBeNull();
});

// Wilson's limits by statsmodels 0.14.4, proportion_confint(count, nobs, method="wilson"):
// (8, 10) → 0.490162, 0.943318   (5, 10) → 0.236593, 0.763407   (10, 10) → 0.722467, 1   (0, 4) → 0, 0.489891
it.each([
  [{ found: 8, active: 10, passed: 8, silent: 10 }, [0.8, 0.490162, 0.943318], [0.8, 0.490162, 0.943318]],
  [{ found: 8, active: 10, passed: 5, silent: 10 }, [0.8, 0.490162, 0.943318], [0.5, 0.236593, 0.763407]],
  [{ found: 10, active: 10, passed: 0, silent: 4 }, [1, 0.722467, 1], [0, 0, 0.489891]],
] as const)("combines Wilson's limits of both shares: %j", (counts, [p1, l1, u1], [p2, l2, u2]) => {
  const { score, interval } = detectionScore(counts)!;
  expect(interval.low).toBeCloseTo(score - Math.hypot(p1 - l1, p2 - l2) / 2, 5);
  expect(interval.high).toBeCloseTo(score + Math.hypot(u1 - p1, u2 - p2) / 2, 5);
});

/** Probability of k of n. */
function binomial(n: number, k: number, p: number): number {
  let ways = 1;
  for (let i = 0; i < k; i++) ways = (ways * (n - i)) / (i + 1);
  return ways * p ** k * (1 - p) ** (n - k);
}

it.each([
  [10, 0.5, 0.5],
  [10, 0.9, 0.7],
  [10, 0.95, 0.95],
  [20, 0.5, 0.5],
  [20, 0.95, 0.95],
])("its interval holds the truth as often as it says, over all outcomes of %i texts of each kind", (n, p1, p2) => {
  const truth = (p1 + p2) / 2;
  let held = 0;
  for (let found = 0; found <= n; found++) {
    for (let passed = 0; passed <= n; passed++) {
      const { low, high } = detectionScore({ found, active: n, passed, silent: n })!.interval;
      expect(low).toBeGreaterThanOrEqual(0);
      expect(high).toBeLessThanOrEqual(1);
      if (low <= truth && truth <= high) held += binomial(n, found, p1) * binomial(n, passed, p2);
    }
  }
  expect(held).toBeGreaterThan(0.92);
  expect(held).toBeLessThan(0.97);
});
