/** Which tokens of two sides count when their features are compared. */
export interface TokenMask {
  /** Position 0 carries norms and features of its own in most models. */
  readonly firstPosition: boolean;
  readonly specialTokens: boolean;
  /** The tokens with which all samples of all groups begin, such as a chat template's head. */
  readonly sharedPrefix: boolean;
  /** Tokens whose id occurs on the positive side and on another. */
  readonly sharedTokens: boolean;
}

export interface LabelledSequence {
  readonly ids: Int32Array;
  /** 0 for positive. */
  readonly group: number;
}

/** For each sequence one byte per token: 1 where it counts. A mask's field says what is left out. */
export function keptTokens(
  sequences: readonly LabelledSequence[],
  leaveOut: TokenMask,
  isSpecial: (id: number) => boolean,
): Uint8Array[] {
  const prefix = leaveOut.sharedPrefix ? sharedPrefixLength(sequences.map(({ ids }) => ids)) : 0;
  const shared = leaveOut.sharedTokens ? sharedIds(sequences) : new Set<number>();
  return sequences.map(({ ids }) =>
    Uint8Array.from(ids, (id, position) => {
      if (position < prefix || (leaveOut.firstPosition && position === 0)) return 0;
      return (leaveOut.specialTokens && isSpecial(id)) || shared.has(id) ? 0 : 1;
    }),
  );
}

function sharedPrefixLength(sequences: readonly Int32Array[]): number {
  const [first = new Int32Array(), ...others] = sequences;
  let length = first.length;
  for (const ids of others) {
    let same = 0;
    while (same < Math.min(length, ids.length) && ids[same] === first[same]) same++;
    length = same;
  }
  return length;
}

function sharedIds(sequences: readonly LabelledSequence[]): Set<number> {
  const ofSide = (positive: boolean) =>
    new Set(sequences.filter(({ group }) => (group === 0) === positive).flatMap(({ ids }) => [...ids]));
  const others = ofSide(false);
  return new Set([...ofSide(true)].filter((id) => others.has(id)));
}
