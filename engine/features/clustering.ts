// Which benchmarks belong together: a tree, and an order of its leaves in which similar ones stand side by side.

export interface Merge {
  /** A benchmark (below D), or D + the number of an earlier merge. */
  readonly left: number;
  readonly right: number;
  /** Mean similarity between the members of the two. */
  readonly similarity: number;
}

export interface Clustering {
  readonly merges: readonly Merge[];
  /** Of all orders that the tree allows one with the largest sum of similarities of neighbours. */
  readonly order: readonly number[];
}

/**
 * Average linkage (UPGMA) on a symmetric similarity, and the optimal order of its leaves (Bar-Joseph et al., Bioinformatics 17, 2001), O(D³) for
 * balanced trees. Deterministic: ties go to the earlier benchmark.
 *
 * @param similarity_DD row-major D × D; NaN (no features) counts as 0
 * @throws RangeError when the matrix is not size × size
 */
export function clusterBenchmarks(similarity_DD: Float64Array, size: number): Clustering {
  if (similarity_DD.length !== size * size) {
    throw new RangeError(`similarity: expected ${size * size} entries, got ${similarity_DD.length}`);
  }
  const similar_DD = similarity_DD.map((value) => (Number.isNaN(value) ? 0 : value));
  const merges = averageLinkage(similar_DD, size);
  return { merges, order: leafOrder(similar_DD, size, merges) };
}

function averageLinkage(similar_DD: Float64Array, size: number): Merge[] {
  const clusters = Array.from({ length: size }, (_, i) => ({ node: i, members: 1 }));
  const linkage = similar_DD.slice();
  const alive = Array.from({ length: size }, (_, i) => i);
  const merges: Merge[] = [];
  while (alive.length > 1) {
    let best = Number.NEGATIVE_INFINITY;
    let [left, right] = [alive[0]!, alive[1]!];
    for (let x = 0; x < alive.length; x++) {
      for (let y = x + 1; y < alive.length; y++) {
        const value = linkage[alive[x]! * size + alive[y]!]!;
        if (value > best) [best, left, right] = [value, alive[x]!, alive[y]!];
      }
    }
    const [a, b] = [clusters[left]!, clusters[right]!];
    // Average linkage can be updated from the two rows alone (Lance and Williams).
    for (const other of alive) {
      const [toA, toB] = [linkage[left * size + other]!, linkage[right * size + other]!];
      const merged = (a.members * toA + b.members * toB) / (a.members + b.members);
      linkage[left * size + other] = merged;
      linkage[other * size + left] = merged;
    }
    merges.push({ left: a.node, right: b.node, similarity: best });
    clusters[left] = { node: size + merges.length - 1, members: a.members + b.members };
    alive.splice(alive.indexOf(right), 1);
  }
  return merges;
}

/** best[l · D + r]: largest sum of neighbours' similarities over orders of the smallest subtree that holds l and r, l first and r last. */
function leafOrder(similar_DD: Float64Array, size: number, merges: readonly Merge[]): number[] {
  const best = new Float64Array(size * size);
  const inner = new Int32Array(size * size).fill(-1);
  const leaves: number[][] = Array.from({ length: size }, (_, i) => [i]);
  const children = (node: number) => merges[node - size];
  // Ends that face the other subtree when l is the outer end: the leaves of the child that does not hold l.
  const facing = (node: number, l: number): readonly number[] => {
    const merge = children(node);
    if (merge === undefined) return [l];
    return leaves[leaves[merge.left]!.includes(l) ? merge.right : merge.left]!;
  };
  for (const { left, right } of merges) {
    const [a, b] = [leaves[left]!, leaves[right]!];
    for (const l of a) {
      const ends = facing(left, l);
      // To each leaf m of the right side: the best order of the left side that starts at l, and the step to m.
      const to = new Map(b.map((m) => [m, largest(ends, (k) => best[l * size + k]! + similar_DD[k * size + m]!)]));
      for (const r of b) {
        const end = largest(facing(right, r), (m) => to.get(m)!.value + best[m * size + r]!);
        best[l * size + r] = end.value;
        best[r * size + l] = end.value;
        inner[l * size + r] = to.get(end.at)!.at;
        inner[r * size + l] = end.at;
      }
    }
    leaves.push([...a, ...b]);
  }
  if (size === 0) return [];
  const root = size + merges.length - 1;
  if (root < size) return [0];
  const { left, right } = children(root)!;
  const first = largest(leaves[left]!, (l) => largest(leaves[right]!, (r) => best[l * size + r]!).value).at;
  const last = largest(leaves[right]!, (r) => best[first * size + r]!).at;
  return laidOut(root, first, last);

  function laidOut(node: number, l: number, r: number): number[] {
    const merge = children(node);
    if (merge === undefined) return [l];
    const fromLeft = leaves[merge.left]!.includes(l);
    const [k, m] = [inner[l * size + r]!, inner[r * size + l]!];
    return [
      ...laidOut(fromLeft ? merge.left : merge.right, l, k),
      ...laidOut(fromLeft ? merge.right : merge.left, m, r),
    ];
  }
}

/** The first of the items with the largest value. */
function largest(items: readonly number[], scoreOf: (item: number) => number): { at: number; value: number } {
  let at = items[0]!;
  let value = scoreOf(at);
  for (const item of items.slice(1)) {
    const own = scoreOf(item);
    if (own > value) [at, value] = [item, own];
  }
  return { at, value };
}
