import fc from "fast-check";
import { expect, test } from "vitest";
import { planRounds, sweptCells } from "../../domain/search-plan.ts";
import { countTexts, cutPrompts, maximumFinalists, sweepEdits } from "../../domain/sweep-plan.ts";

test("every round of a search keeps half of the cells and doubles their prompts, at about the same cost", () => {
  expect(planRounds(64, 64)).toEqual([
    { cells: 64, kept: 32, prompts: 8 },
    { cells: 32, kept: 16, prompts: 16 },
    { cells: 16, kept: 8, prompts: 32 },
  ]);
  expect(planRounds(sweptCells, 64)).toEqual([]);
});

test("rounds end at the cells of a sweep and never ask for prompts that are not there", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 2, max: 500 }), (cells, prompts) => {
      const rounds = planRounds(cells, prompts);
      expect(rounds.at(-1)?.kept ?? Math.min(cells, sweptCells)).toBe(Math.min(cells, sweptCells));
      rounds.forEach((round, i) => {
        expect(round.prompts).toBeLessThanOrEqual(prompts);
        expect(round.cells).toBe(rounds[i - 1]?.kept ?? cells);
      });
    }),
  );
});

test("prompts are cut into those that choose and those that judge, unless there is nothing to choose or to cut", () => {
  expect(cutPrompts(20, 5, 0.5)).toEqual({ compared: 10, judged: 10, apart: true });
  expect(cutPrompts(3, 5, 0.9)).toEqual({ compared: 1, judged: 2, apart: true });
  for (const cut of [cutPrompts(20, 1, 0.5), cutPrompts(20, 5, 0)])
    expect(cut).toEqual({ compared: 20, judged: 20, apart: false });
  expect(cutPrompts(1, 5, 0.5)).toEqual({ compared: 1, judged: 1, apart: false });
});

test("the texts of a sweep are counted before it starts", () => {
  const controls = { random_features: 3, negative_strength: true, instruction: "In Chinese." };
  const apart = { compared: 10, judged: 10, apart: true };
  // Baseline, cells, controls of the finalists, the best again, its controls, the instruction.
  expect(countTexts({ controls }, 8, apart)).toBe(20 + 8 * 10 + maximumFinalists * 4 * 10 + 10 + 4 * 10 + 10);
  const all = { compared: 20, judged: 20, apart: false };
  expect(countTexts({ controls }, 1, all)).toBe(20 + 20 + 4 * 20 + 20);
});

test("cells are features, then vectors, with every strength; an op without a strength has one cell a feature", () => {
  const vectors = [{ layer: 0, values: [1] }];
  const cells = sweepEdits({ features: ["a:1"], vectors, op: "add", strengths: [1, 2], unit: "absolute" });
  expect(cells.map(({ feature, vector, strength }) => [feature, vector, strength])).toEqual([
    ["a:1", null, 1],
    ["a:1", null, 2],
    [null, 0, 1],
    [null, 0, 2],
  ]);
  expect(cells[2]!.edit).toEqual({ vector: vectors[0], op: "add", value: 1, unit: "absolute" });
  expect(sweepEdits({ features: ["a:1"], op: "ablate", strengths: [] }).map(({ edit }) => edit)).toEqual([
    { feature: "a:1", op: "ablate" },
  ]);
});
