// How a search narrows its cells down: the more prompts, the fewer cells.

/** Cells that go into the sweep that ends a search. */
export const sweptCells = 8;
const FEWEST_PROMPTS = 2;

export interface PlannedRound {
  readonly cells: number;
  readonly prompts: number;
  readonly kept: number;
}

/**
 * Successive halving (Jamieson and Talwalkar 2016): half of the cells are kept each time, and see twice the prompts next, up to
 * all of those that compare; every round costs about as many texts.
 */
export function planRounds(cells: number, prompts: number): PlannedRound[] {
  const sizes: { cells: number; kept: number }[] = [];
  for (let left = cells; left > sweptCells; ) {
    const kept = Math.max(sweptCells, Math.ceil(left / 2));
    sizes.push({ cells: left, kept });
    left = kept;
  }
  return sizes.map((size, round) => {
    const share = prompts / 2 ** (sizes.length - round);
    return { ...size, prompts: Math.min(prompts, Math.max(FEWEST_PROMPTS, Math.ceil(share))) };
  });
}
