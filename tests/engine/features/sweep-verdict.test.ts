import { describe, expect, it } from "vitest";
import {
  finalists,
  isBeaten,
  type JudgedControl,
  judge,
  pairedDifferences,
  sufferings,
  summarizeArm,
  type TextScores,
} from "../../../engine/features/sweep-verdict.ts";
import { createRandom } from "../../../engine/runtime/random.ts";

const text = (goal: number | null, changes: Partial<TextScores> = {}): TextScores => ({
  ...{ goal, nats: 10, tokens: 10, distinct1: 0.9, distinct2: 1, longestRepetition: 0 },
  ...changes,
});
const limits = { perplexityRatio: 3, distinctRatio: 0.5, lengthRatio: 0.5 };
const draws = { draws: 200, random: createRandom(0) };
const summary = (texts: TextScores[], baseline: TextScores[]) => summarizeArm(texts, baseline, 1, limits, draws);
const plain = Array.from({ length: 8 }, () => text(0));

describe("the figures of an arm", () => {
  it("are means over prompts, paired with the baseline's, and the perplexity of all tokens together", () => {
    const texts = [text(1, { nats: 30, tokens: 10 }), text(0.5, { nats: 2, tokens: 30 })];
    const arm = summarizeArm(texts, [text(0.5), text(0.25)], 1, limits, draws);
    expect(arm.goal.mean).toBe(0.75);
    expect(arm.effect!.mean).toBeCloseTo(0.375, 12);
    expect(arm.perplexity).toBeCloseTo(Math.exp(32 / 40), 12);
    expect(arm.perplexityRatio).toBeCloseTo(Math.exp(32 / 40 - 1), 12);
    expect(arm.tokens).toBe(20);
  });

  it("turn around for a goal of less, and a text that cannot show it is the worst of both", () => {
    expect(pairedDifferences([text(0.1)], [text(0.6)], -1)[0]).toBeCloseTo(0.5, 12);
    expect(pairedDifferences([text(null)], [text(0.25)], 1)).toEqual([-0.25]);
    expect(pairedDifferences([text(null)], [text(0.25)], -1)).toEqual([-0.75]);
    expect(() => pairedDifferences([text(1)], [], 1)).toThrow(RangeError);
  });
});

describe("fluency", () => {
  it("is lost to surprise, to loops and to silence, each said in words", () => {
    const usual = { perplexity: 2, distinct2: 0.9, tokens: 20 };
    expect(sufferings(usual, usual, limits)).toEqual([]);
    expect(sufferings({ ...usual, perplexity: 6.1 }, usual, limits)[0]).toContain("3.05 times the baseline's, above 3");
    expect(sufferings({ ...usual, distinct2: 0.3 }, usual, limits)[0]).toContain("repeat themselves");
    expect(sufferings({ ...usual, tokens: 9 }, usual, limits)[0]).toContain("9 tokens");
    expect(sufferings({ ...usual, perplexity: Number.NaN }, usual, limits)).toHaveLength(1);
  });
});

describe("finalists", () => {
  it("are the fluent cells above the baseline by effect, and of equals the first", () => {
    const cells = [0.2, 0.9, -0.1, 0.9, 1].map((goal) =>
      summary(
        Array.from({ length: 8 }, () => text(goal)),
        plain,
      ),
    );
    const broken = summary(
      Array.from({ length: 8 }, () => text(1, { distinct2: 0.1 })),
      plain,
    );
    expect(finalists([...cells, broken, null], 3)).toEqual([4, 1, 3]);
    expect(finalists([null, broken, cells[2]!], 3)).toEqual([]);
  });
});

describe("a verdict", () => {
  const control = (low: number, name = "the baseline"): JudgedControl => ({
    name,
    lead: { mean: 0.5, interval: { low, high: 0.8 } },
  });
  const best = { name: "x at 1", prompts: 12, suffered: [] as string[] };

  it("needs a lead over every control with an interval above 0", () => {
    expect(judge(best, [control(0.1), control(0.2, "a random feature")], 6)).toMatchObject({
      works: true,
      reasons: [],
    });
    const lost = judge(best, [control(0.1), control(0, "a random feature")], 6);
    expect(lost.works).toBe(false);
    expect(lost.reasons).toEqual(["it does not surely beat a random feature: its lead is 0.5, 95 % interval 0 to 0.8"]);
    expect(isBeaten({ lead: { mean: 1, interval: null } })).toBe(false);
  });

  it("needs enough prompts and fluent texts, and names all that is missing", () => {
    const lost = judge({ ...best, prompts: 3, suffered: ["its texts repeat themselves"] }, [control(0.1)], 6);
    expect(lost.reasons).toHaveLength(2);
    expect(lost.summary).toContain("3 prompts");
    expect(lost.summary).toContain("1 more");
  });

  it("is seldom won by a feature that does nothing", () => {
    const random = createRandom(5);
    let won = 0;
    for (let trial = 0; trial < 200; trial++) {
      const noise = () => Array.from({ length: 12 }, () => text(random.float() < 0.4 ? 1 : 0));
      const [ours, baseline, other] = [noise(), noise(), noise()];
      const leads = [baseline, other].map((theirs) => ({
        name: "a control",
        lead: summarizeArm(ours, theirs, 1, limits, { draws: 200, random }).effect!,
      }));
      if (judge(best, leads, 6).works) won += 1;
    }
    // Each of the two is beaten by chance in about 2.5 %, both together more seldom.
    expect(won).toBeLessThanOrEqual(8);
  });
});
