/** Which prompts compare and which judge, and the controls that a cell must beat. */
import type { SteeringSweepSettings, SweepArmName } from "../../../domain/sweep.ts";
import type { PlannedCell, PromptCut } from "../../../domain/sweep-plan.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { Arm } from "./sweep-bench.ts";

/** An arm of the judgement and what it is there. */
export interface ControlArm extends Arm {
  readonly arm: SweepArmName;
}

export interface Halves {
  /** On which cells are compared, in ascending order. */
  readonly compared: readonly number[];
  /** On which the best is judged. */
  readonly judged: readonly number[];
  readonly apart: boolean;
}

export function drawHalves(prompts: number, cut: PromptCut, seed: number): Halves {
  const all = Array.from({ length: prompts }, (_, index) => index);
  if (!cut.apart) return { compared: all, judged: all, apart: false };
  const drawn = createRandom(seed).fork("halves").shuffle(all.slice());
  const ascending = (a: number, b: number) => a - b;
  return {
    compared: drawn.slice(0, cut.compared).sort(ascending),
    judged: drawn.slice(cut.compared).sort(ascending),
    apart: true,
  };
}

type Where = "compared" | "judged";

/** The controls that belong to one cell. */
export function ownControls(
  { controls, seed }: Pick<SteeringSweepSettings, "controls" | "seed">,
  { cell, edit }: PlannedCell,
  where: Where,
  prompts: readonly number[],
): ControlArm[] {
  const common = { edit, prompts, instructed: false };
  const random = Array.from({ length: controls.random_features }, (_, i): ControlArm => {
    const as = { seed: (seed + i) % Number.MAX_SAFE_INTEGER };
    return { ...common, arm: "random_feature", as, key: `${where}: random ${i} of ${cell}` };
  });
  if (!controls.negative_strength) return random;
  return [...random, { ...common, arm: "negative_strength", as: "negative", key: `${where}: negative of ${cell}` }];
}

/** The best cell again where it was not chosen, and its controls. */
export function judgedArms(settings: SteeringSweepSettings, cell: PlannedCell, halves: Halves): ControlArm[] {
  const prompts = halves.judged;
  const best: ControlArm = {
    ...{ arm: "best", edit: cell.edit, as: "itself", instructed: false, prompts },
    key: halves.apart ? `judged: cell ${cell.cell}` : `cell ${cell.cell}`,
  };
  const arms = [best, ...ownControls(settings, cell, halves.apart ? "judged" : "compared", prompts)];
  if (settings.controls.instruction === undefined) return arms;
  return [...arms, { ...best, arm: "instruction", edit: null, instructed: true, key: "instruction" }];
}
