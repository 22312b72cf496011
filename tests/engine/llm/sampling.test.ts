import { describe, expect, it } from "vitest";
import { greedySampling, logprobsOf, type SamplingSettings, sampleToken } from "../../../engine/llm/sampling.ts";
import { createRandom } from "../../../engine/runtime/random.ts";

const logits = () => Float32Array.of(1, 3, 2, -1, 3, 0);
const none: ReadonlySet<number> = new Set();

/** Which ids come out in many draws, and how often. */
function frequencies(settings: Partial<SamplingSettings>, seen = none): Map<number, number> {
  const random = createRandom(5);
  const counts = new Map<number, number>();
  for (let i = 0; i < 4000; i++) {
    const id = sampleToken(logits(), { ...greedySampling, temperature: 1, ...settings }, seen, random);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

/** The token at the share `at` of what the cuts keep, in falling order; without cuts in the order of ids. */
function sortedDraw(many: Float32Array, topK: number, topP: number, at: number): number {
  const cut = topK > 0 && topK < many.length;
  const highest = Math.max(...many);
  const weight = (id: number) => Math.exp(many[id]! - highest);
  const sum = (ids: readonly number[]) => ids.reduce((total, id) => total + weight(id), 0);
  const all = [...many.keys()];
  let ids = cut || topP < 1 ? all.toSorted((a, b) => many[b]! - many[a]! || a - b) : all;
  if (cut) ids = ids.slice(0, topK);
  if (topP < 1) {
    const bound = topP * sum(cut ? ids : all);
    ids = ids.slice(0, 1 + ids.findIndex((_, i) => sum(ids.slice(0, i + 1)) >= bound));
  }
  const place = at * sum(ids);
  return ids.find((_, i) => sum(ids.slice(0, i + 1)) > place)!;
}

const kept = (counts: Map<number, number>) => [...counts.keys()].sort();

describe("sampling", () => {
  it("temperature 0 takes the largest logit, the smaller id on a tie, and draws nothing", () => {
    const random = createRandom(1);
    const before = random.state();
    expect(sampleToken(logits(), greedySampling, none, random)).toBe(1);
    expect(random.state()).toEqual(before);
  });

  it("without cuts every token comes as often as softmax(logits / temperature) says", () => {
    for (const temperature of [1, 2]) {
      const counts = frequencies({ temperature });
      const weights = [...logits()].map((x) => Math.exp(x / temperature));
      const total = weights.reduce((a, b) => a + b);
      weights.forEach((weight, id) => {
        const p = weight / total;
        expect(Math.abs((counts.get(id) ?? 0) / 4000 - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / 4000));
      });
    }
  });

  it("top-k keeps the k most likely, smaller ids first on ties", () => {
    expect(kept(frequencies({ topK: 1 }))).toEqual([1]);
    expect(kept(frequencies({ topK: 3 }))).toEqual([1, 2, 4]);
    expect(kept(frequencies({ topK: 100 }))).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("top-p keeps the smallest set that reaches p, the token that crosses it included, and always one", () => {
    // Probabilities of ids 1, 4, 2, 0: 0.388, 0.388, 0.143, 0.053.
    expect(kept(frequencies({ topP: 0.01 }))).toEqual([1]);
    expect(kept(frequencies({ topP: 0 }))).toEqual([1]);
    expect(kept(frequencies({ topP: 0.5 }))).toEqual([1, 4]);
    expect(kept(frequencies({ topP: 0.9 }))).toEqual([1, 2, 4]);
  });

  it("top-p counts within what top-k left", () => {
    // Of ids 1 and 4 alone each has one half.
    expect(kept(frequencies({ topK: 2, topP: 0.45 }))).toEqual([1]);
    expect(kept(frequencies({ topK: 2, topP: 0.55 }))).toEqual([1, 4]);
  });

  it("the repetition penalty divides positive logits of seen tokens and multiplies negative ones", () => {
    const changed = logits();
    expect(sampleToken(changed, { ...greedySampling, repetitionPenalty: 2 }, new Set([1, 3]), createRandom(1))).toBe(4);
    expect([...changed]).toEqual([1, 1.5, 2, -2, 3, 0]);
  });

  it("the same seed draws the same tokens", () => {
    expect(frequencies({ topP: 0.9 })).toEqual(frequencies({ topP: 0.9 }));
  });

  it("a logit that is not a number is refused, and infinite ones work as never and always", () => {
    expect(() => sampleToken(Float32Array.of(0, Number.NaN), greedySampling, none, createRandom(1))).toThrow(
      /token 1 is not a number/,
    );
    const masked = Float32Array.of(Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY);
    expect(sampleToken(masked, { ...greedySampling, temperature: 1 }, none, createRandom(1))).toBe(1);
  });

  it("draws what sorting the whole vocabulary would draw, with ties, from one token kept to nearly all", () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = createRandom(seed);
      const size = 500 + random.int(500);
      const many = Float32Array.from({ length: size }, () => Math.round(10 * random.normal()) / 5);
      const [topK, topP] = [seed % 3 === 0 ? 1 + random.int(size + 50) : 0, [1, 0.999, 0.9, 0.3][seed % 4]!];
      const id = sampleToken(many.slice(), { ...greedySampling, temperature: 1, topK, topP }, none, createRandom(seed));
      expect(id, `seed ${seed}`).toBe(sortedDraw(many, topK, topP, createRandom(seed).float()));
    }
  });

  it("log probabilities are log softmax of the logits, most likely first", () => {
    const { logprob, top } = logprobsOf(logits(), 2, 3);
    const total = [...logits()].reduce((sum, x) => sum + Math.exp(x), 0);
    expect(logprob).toBeCloseTo(2 - Math.log(total), 10);
    expect(top.map(({ id }) => id)).toEqual([1, 4, 2]);
    expect(top[0]!.logprob).toBeCloseTo(3 - Math.log(total), 10);
    expect(logprobsOf(logits(), 2, 0).top).toEqual([]);
  });
});
