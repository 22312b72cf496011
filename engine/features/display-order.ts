/**
 * Order of benchmarks for display: similar ones become neighbours, so that clusters show as blocks on the diagonal.
 *
 * Average-linkage clustering on a symmetric similarity (usually overlap_min), then each merge is laid out in the one of
 * its four orientations that puts the most similar ends together. Deterministic: ties go to the earlier benchmark.
 *
 * @param similarity_DD row-major D × D; NaN (no features) counts as 0
 * @returns a permutation of 0 … D − 1
 * @throws RangeError when the matrix is not size × size
 */
export function displayOrder(similarity_DD: Float64Array, size: number): number[] {
  if (similarity_DD.length !== size * size) {
    throw new RangeError(`similarity: expected ${size * size} entries, got ${similarity_DD.length}`);
  }
  const similarity = (a: number, b: number): number => {
    const value = similarity_DD[a * size + b]!;
    return Number.isNaN(value) ? 0 : value;
  };
  const clusters: { leaves: number[]; linkage: Float64Array }[] = Array.from({ length: size }, (_, i) => ({
    leaves: [i],
    linkage: Float64Array.from({ length: size }, (_, j) => similarity(i, j)),
  }));
  const alive = Array.from({ length: size }, (_, i) => i);

  while (alive.length > 1) {
    let best = Number.NEGATIVE_INFINITY;
    let left = alive[0]!;
    let right = alive[1]!;
    for (let x = 0; x < alive.length; x++) {
      for (let y = x + 1; y < alive.length; y++) {
        const value = clusters[alive[x]!]!.linkage[alive[y]!]!;
        if (value > best) {
          best = value;
          left = alive[x]!;
          right = alive[y]!;
        }
      }
    }
    const a = clusters[left]!;
    const b = clusters[right]!;
    // Average linkage can be updated from the two rows alone (Lance and Williams).
    for (const other of alive) {
      const merged =
        (a.leaves.length * a.linkage[other]! + b.leaves.length * b.linkage[other]!) /
        (a.leaves.length + b.leaves.length);
      a.linkage[other] = merged;
      clusters[other]!.linkage[left] = merged;
    }
    a.leaves = joined(a.leaves, b.leaves, similarity);
    alive.splice(alive.indexOf(right), 1);
  }
  return clusters[alive[0] ?? 0]?.leaves ?? [];
}

function joined(a: number[], b: number[], similarity: (x: number, y: number) => number): number[] {
  const ways = [
    { ends: similarity(a.at(-1)!, b[0]!), lay: () => [...a, ...b] },
    { ends: similarity(a.at(-1)!, b.at(-1)!), lay: () => [...a, ...b.toReversed()] },
    { ends: similarity(a[0]!, b[0]!), lay: () => [...a.toReversed(), ...b] },
    { ends: similarity(a[0]!, b.at(-1)!), lay: () => [...b, ...a] },
  ];
  return ways.reduce((best, way) => (way.ends > best.ends ? way : best)).lay();
}
