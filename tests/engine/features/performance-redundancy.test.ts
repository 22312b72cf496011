import { describe, expect, it } from "vitest";
import { kendallTauB } from "../../../engine/features/correlation.ts";
import { performanceRedundancy } from "../../../engine/features/performance-redundancy.ts";
import { analyzeScores } from "../../../engine/features/score-analysis.ts";
import { createRandom } from "../../../engine/runtime/random.ts";

const MODELS = 4;
/** Eight questions; the later model knows more of them, but not all that an earlier one knows. */
const answers = [
  [1, 0, 0, 1, 0, 0, 0, 0],
  [1, 1, 0, 0, 0, 1, 0, 0],
  [1, 1, 1, 0, 1, 0, 0, 0],
  [1, 1, 1, 1, 1, 0, 1, 0],
] as const;
const scores_MN = Float64Array.from(answers.flat());

/** R by definition: the mean over n of the mean over every subset of n samples of τ, an undefined τ being 0 (Eqs. 4–6). */
function byEnumeration(): number {
  const samples = answers[0].length;
  const whole = answers.map((own) => own.reduce((sum: number, one) => sum + one, 0));
  const sums = new Float64Array(samples + 1);
  const subsets = new Float64Array(samples + 1);
  for (let mask = 1; mask < 2 ** samples; mask++) {
    const chosen = answers[0].map((_, i) => i).filter((i) => (mask >> i) & 1);
    const part = answers.map((own) => chosen.reduce((sum, i) => sum + own[i]!, 0));
    sums[chosen.length]! += kendallTauB(part, whole) ?? 0;
    subsets[chosen.length]! += 1;
  }
  return sums.slice(1).reduce((sum, tau, i) => sum + tau / subsets[i + 1]!, 0) / samples;
}

describe("performance redundancy", () => {
  it("is the mean over every subset of every size, within the error it states", () => {
    const exact = byEnumeration();
    const { value, error } = performanceRedundancy(scores_MN, MODELS, { orders: 4000, random: createRandom(1) });
    expect(error).toBeLessThan(0.01);
    expect(Math.abs(value! - exact)).toBeLessThan(4 * error!);
  });

  it("states an error that other seeds bear out", () => {
    const draws = Array.from({ length: 60 }, (_, seed) =>
      performanceRedundancy(scores_MN, MODELS, { orders: 50, random: createRandom(seed) }),
    );
    const exact = byEnumeration();
    const inside = draws.filter(({ value, error }) => Math.abs(value! - exact) < 1.96 * error!).length;
    expect(inside).toBeGreaterThanOrEqual(52);
  });

  it("looks at 64 sizes of a large benchmark, every size equally often, so that it stays unbiased", () => {
    const samples = 1000;
    const random = createRandom(5);
    const large = Float64Array.from({ length: MODELS * samples }, (_, at) =>
      Number(random.float() < 0.4 + 0.04 * Math.floor(at / samples)),
    );
    const coarse = performanceRedundancy(large, MODELS, { orders: 300, random: createRandom(2) });
    expect(coarse.evaluations).toBe(300 * 64);
    const again = performanceRedundancy(large, MODELS, { orders: 300, random: createRandom(3) });
    const error = Math.hypot(coarse.error!, again.error!);
    expect(Math.abs(coarse.value! - again.value!)).toBeLessThan(4 * error);
  });

  it("counts an undefined τ as 0, and says how many there were", () => {
    // Only the last of three samples tells the models apart.
    const late = Float64Array.from([1, 1, 0, 1, 1, 1, 1, 1, 2]);
    const { value, undefinedTau, evaluations } = performanceRedundancy(late, 3, {
      orders: 600,
      random: createRandom(0),
    });
    expect(evaluations).toBe(1800);
    // It is among n of 3 with probability n / 3: R = (1/3 + 2/3 + 1) / 3.
    expect(undefinedTau / evaluations).toBeCloseTo(1 / 3, 1);
    expect(value).toBeCloseTo(2 / 3, 1);
    expect(value).toBeCloseTo(1 - undefinedTau / evaluations, 12);
  });

  it("is absent with a reason where there is no ranking, and is the same for a seed", () => {
    const options = () => ({ orders: 20, random: createRandom(9) });
    expect(performanceRedundancy(new Float64Array(9).fill(1), 3, options())).toMatchObject({
      value: null,
      reason: expect.stringContaining("score the same"),
    });
    expect(performanceRedundancy(new Float64Array(4), 2, options()).reason).toContain("fewer than three models");
    expect(performanceRedundancy(scores_MN, MODELS, options())).toEqual(
      performanceRedundancy(scores_MN, MODELS, options()),
    );
    expect(() => performanceRedundancy(Float64Array.of(1, Number.NaN, 1), 3, options())).toThrow("finite");
  });
});

describe("scores beside features", () => {
  const features = {
    redundancy_D: [0.5, 1, 2, null],
    overlapMin_DD: Float64Array.of(1, 0.8, 0.2, 0.1, 0.8, 1, 0.3, 0.1, 0.2, 0.3, 1, 0.1, 0.1, 0.1, 0.1, 1),
    tokensOverlapMin_DD: new Float64Array(16).fill(0.5),
    randomOverlapMin_DD: new Float64Array(16).fill(Number.NaN),
  };
  const scored = (...scores: number[]) => ({ scores_M: Float64Array.from(scores), samples: null });
  const analyze = (given: number | null) =>
    analyzeScores(
      [scored(1, 2, 3, 4, 5), scored(2, 3, 5, 4, 6), scored(5, 1, 2, 1, 4), scored(1, 1, 2, 3, Number.NaN)],
      features,
      { given, orders: 10, permutations: 999, random: createRandom(0) },
    );

  it("take for a pair the models that both have", () => {
    const { models_DD, similarity } = analyze(null);
    expect([...models_DD.subarray(0, 4)]).toEqual([5, 5, 5, 4]);
    expect(similarity.pearson_DD[0]).toBe(1);
    expect(similarity.spearman_DD[1]).toBeCloseTo(0.9, 12);
  });

  it("give the benchmark held fixed no partial correlation of its own", () => {
    const { partial, overlapMin } = analyze(3);
    expect(partial!.pearson_DD[3]).toBeNaN();
    expect(partial!.pearson_DD[1]).toBeGreaterThan(-1);
    expect(partial!.reasons[3]).toContain("held fixed");
    expect(overlapMin.partial!.pearson.benchmarks).toBe(3);
  });

  it("say of a baseline that is the same for every pair that nothing goes with it", () => {
    const { overlapMin, redundancy } = analyze(null);
    expect(overlapMin.direct.spearman.value).not.toBeNull();
    expect(overlapMin.tokens.pearson.reason).toContain("the same everywhere");
    expect(overlapMin.random.pearson.reason).toContain("fewer than 3");
    expect(redundancy.pearson.reason).toContain("fewer than 3");
  });
});
