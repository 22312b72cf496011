/** One round of a search: which cells go on. */
import type { SteeringSweepSettings } from "../../../domain/sweep.ts";
import { goalSign } from "../../../domain/sweep-goal.ts";
import type { PlannedCell } from "../../../domain/sweep-plan.ts";
import { summarizeArm, type TextScores } from "../../../engine/features/sweep-verdict.ts";
import { createRandom } from "../../../engine/runtime/random.ts";

interface MeasuredCell {
  readonly cell: PlannedCell;
  /** null: it failed */
  readonly texts: readonly TextScores[] | null;
}

/** The fluent cells first, by effect; then the others, which a few prompts may have wronged. Failed ones are left out. */
export function rankRound(
  measured: readonly MeasuredCell[],
  baseline: readonly TextScores[],
  { goal, limits, seed }: Pick<SteeringSweepSettings, "goal" | "limits" | "seed">,
): PlannedCell[] {
  const bounds = {
    perplexityRatio: limits.perplexity_ratio,
    distinctRatio: limits.distinct_ratio,
    lengthRatio: limits.length_ratio,
  };
  // Nobody looks at the intervals here.
  const draws = { draws: 1, random: createRandom(seed) };
  return measured
    .flatMap(({ cell, texts }) => {
      if (!texts) return [];
      const { fluent, effect } = summarizeArm(texts, baseline, goalSign(goal), bounds, draws);
      return [{ cell, fluent, effect: effect!.mean }];
    })
    .sort((a, b) => Number(b.fluent) - Number(a.fluent) || b.effect - a.effect || a.cell.cell - b.cell.cell)
    .map(({ cell }) => cell);
}
