// What a sweep will do: its cells, how its prompts are cut, how many texts that makes.
import type { Edit } from "./steering.ts";
import type { SteeringSweepSettings } from "./sweep.ts";

export interface PlannedCell {
  readonly cell: number;
  readonly feature: string | null;
  /** index into `vectors` */
  readonly vector: number | null;
  readonly strength: number | null;
  readonly edit: Edit;
}

type Shape = Pick<SteeringSweepSettings, "features" | "vectors" | "op" | "strengths" | "unit" | "apply" | "when">;

/** Features, then vectors, each with every strength. */
export function sweepEdits({
  features = [],
  vectors = [],
  op,
  strengths,
  unit,
  apply,
  when,
}: Partial<Shape> & Pick<Shape, "op" | "strengths">): PlannedCell[] {
  const directions = [
    ...features.map((feature) => ({ feature, vector: null })),
    ...vectors.map((_, vector) => ({ feature: null, vector })),
  ];
  const values = strengths.length > 0 ? strengths : [null];
  return directions
    .flatMap((direction) => values.map((strength) => ({ ...direction, strength })))
    .map(({ feature, vector, strength }, cell) => ({
      cell,
      feature,
      vector,
      strength,
      edit: {
        ...(feature === null ? { vector: vectors[vector!]! } : { feature }),
        op,
        ...(strength === null ? {} : { value: strength }),
        ...(unit ? { unit } : {}),
        ...(apply ? { apply } : {}),
        ...(when ? { when } : {}),
      },
    }));
}

export interface PromptCut {
  /** Prompts on which cells are compared. */
  readonly compared: number;
  /** Prompts on which the best is judged. */
  readonly judged: number;
  /** Whether those are other prompts. */
  readonly apart: boolean;
}

/** One cell leaves nothing to choose, and one prompt nothing to hold out: then all prompts do both. */
export function cutPrompts(prompts: number, cells: number, heldOut: number): PromptCut {
  const all = { compared: prompts, judged: prompts, apart: false };
  if (cells < 2 || prompts < 2 || heldOut === 0) return all;
  const judged = Math.min(prompts - 1, Math.max(1, Math.round(prompts * heldOut)));
  return { compared: prompts - judged, judged, apart: true };
}

/**
 * Cells of the strongest effects that meet their controls before one of them is judged. What pushes hard in any direction can move a
 * text as well: the strongest cell is often less of its feature's own doing than a gentler one.
 */
export const maximumFinalists = 4;

/** Texts that a sweep generates, with so many finalists; fewer when no cell qualifies. */
export function countTexts(
  { controls }: Pick<SteeringSweepSettings, "controls">,
  cells: number,
  { compared, judged, apart }: PromptCut,
  finalists = Math.min(maximumFinalists, cells),
): number {
  const own = controls.random_features + (controls.negative_strength ? 1 : 0);
  const instructed = controls.instruction === undefined ? 0 : judged;
  const choosing = cells > 1 ? finalists * own * compared : 0;
  const judging = apart || cells === 1 ? own * judged : 0;
  return (apart ? compared + 2 * judged : compared) + cells * compared + choosing + judging + instructed;
}
