/**
 * Expected feature coverage of random subsets, and the redundancy that follows from it, in closed form.
 *
 * Everything depends on a benchmark only through m_j, the number of its N samples that activate feature j: a subset S of
 * size n misses feature j with the hypergeometric probability C(N − m_j, n) / C(N, n). No subset is ever sampled.
 * Derivations and error bounds: docs/numerics/redundancy.md. Source: Qwen-Scope, section 4, Eqs. 7–9.
 */

/** c_n, the expected share of F(D) that n random samples activate, at increasing n. */
export interface CoverageCurve {
  readonly samples: readonly number[];
  readonly coverage: readonly number[];
}

/** More points than a screen has columns make the artifact larger and the picture no better. */
export const MAX_CURVE_POINTS = 512;

// Beyond e^-40 ≈ 4e-18 a miss no longer changes a double near 1, so the product needs no further factors.
const NEGLIGIBLE_LOG = -40;

/**
 * Logarithm of the probability that a random subset of n of N samples avoids m given ones:
 * ln [C(N − m, n) / C(N, n)] = Σ_{i < min(m, n)} ln(1 − max(m, n) / (N − i)).
 *
 * The two ways of writing the product (over the subset, over the given samples) are equal; the shorter one is summed.
 * Returns −Infinity where n + m > N, and any value below −40 once the sum has passed it.
 *
 * @throws RangeError unless 0 ≤ m ≤ N and 0 ≤ n ≤ N are integers
 */
export function logMissProbability(total: number, activating: number, drawn: number): number {
  assertCount("activating samples", activating, total);
  assertCount("drawn samples", drawn, total);
  if (activating + drawn > total) return Number.NEGATIVE_INFINITY;
  const terms = Math.min(activating, drawn);
  const other = Math.max(activating, drawn);
  let sum = 0;
  for (let i = 0; i < terms && sum >= NEGLIGIBLE_LOG; i++) sum += Math.log1p(-other / (total - i));
  return sum;
}

/**
 * The expected coverage curve c_n = (1 / |F(D)|) Σ_j [1 − C(N − m_j, n) / C(N, n)].
 *
 * @param counts_F m_j per feature; features with m_j = 0 are outside F(D) and ignored
 * @param total N, the number of samples
 * @param points at most this many sizes n, from 1 to N, denser where the curve bends (small n); at most 512
 * @returns exact values at those sizes (relative error about 1e-12); empty for N = 0 or an empty F(D)
 * @throws RangeError when a count exceeds N
 */
export function coverageCurve(counts_F: Uint32Array, total: number, points = MAX_CURVE_POINTS): CoverageCurve {
  if (!Number.isInteger(points) || points < 2 || points > MAX_CURVE_POINTS) {
    throw new RangeError(`points: expected an integer in [2, ${MAX_CURVE_POINTS}], got ${points}`);
  }
  const groups = groupCounts(counts_F, total);
  if (total === 0 || groups.active === 0) return { samples: [], coverage: [] };
  const samples = curveSizes(total, points);
  return { samples, coverage: samples.map((drawn) => coverageAt(groups, total, drawn)) };
}

/**
 * AUC(c) = (1/N) Σ_{n=1..N} c_n = (N + 1) / (N |F(D)|) · Σ_j m_j / (m_j + 1) (Eq. 8). In (0, 1]; null without features.
 *
 * @throws RangeError when a count exceeds N
 */
export function coverageAuc(counts_F: Uint32Array, total: number): number | null {
  const groups = groupCounts(counts_F, total);
  if (total === 0 || groups.active === 0) return null;
  return (((total + 1) / total) * sumOfShares(groups)) / groups.active;
}

/**
 * Feature redundancy R̂(D) = Σ_n c_n / |F(D)| = (N + 1) / |F(D)|² · Σ_j m_j / (m_j + 1) (Eq. 9). High means redundant.
 *
 * It is an area divided by a number of features, not a share: it is positive and **not bounded by 1** (N samples that all
 * activate the same single feature have R̂ = N). Compare it between benchmarks of one model and sae only. Null without features.
 *
 * @throws RangeError when a count exceeds N
 */
export function featureRedundancy(counts_F: Uint32Array, total: number): number | null {
  const groups = groupCounts(counts_F, total);
  if (total === 0 || groups.active === 0) return null;
  return ((total + 1) * sumOfShares(groups)) / groups.active ** 2;
}

/**
 * Expected number of features that n random samples activate, Σ_j [1 − C(N − m_j, n) / C(N, n)], for each n of `drawn`.
 *
 * @throws RangeError when a count or a size exceeds N
 */
export function expectedFeatures(counts_F: Uint32Array, total: number, drawn: readonly number[]): Float64Array {
  const groups = groupCounts(counts_F, total);
  return Float64Array.from(drawn, (size) => {
    assertCount("drawn samples", size, total);
    return groups.active === 0 || size === 0 ? 0 : groups.active * coverageAt(groups, total, size);
  });
}

/** Features with equal m_j are one group: real benchmarks have far fewer distinct counts than features. */
interface CountGroups {
  readonly active: number;
  /** Distinct counts, ascending. */
  readonly counts: Uint32Array;
  readonly features: Uint32Array;
}

function groupCounts(counts_F: Uint32Array, total: number): CountGroups {
  if (!Number.isInteger(total) || total < 0) throw new RangeError(`samples: expected an integer ≥ 0, got ${total}`);
  const byCount = new Map<number, number>();
  let active = 0;
  for (let feature = 0; feature < counts_F.length; feature++) {
    const count = counts_F[feature]!;
    if (count === 0) continue;
    if (count > total) throw new RangeError(`feature ${feature} is active in ${count} of only ${total} samples`);
    byCount.set(count, (byCount.get(count) ?? 0) + 1);
    active += 1;
  }
  const counts = Uint32Array.from(byCount.keys()).sort();
  return { active, counts, features: counts.map((count) => byCount.get(count)!) };
}

function sumOfShares(groups: CountGroups): number {
  let sum = 0;
  for (let g = 0; g < groups.counts.length; g++) {
    const count = groups.counts[g]!;
    sum += groups.features[g]! * (count / (count + 1));
  }
  return sum;
}

function coverageAt(groups: CountGroups, total: number, drawn: number): number {
  const { counts, features, active } = groups;
  const largest = counts.at(-1)!;
  // Two costs for the same numbers: n factors for each distinct m, or one running product over i < m for all of them.
  const runningTerms = Math.min(largest, Math.ceil((-NEGLIGIBLE_LOG * total) / drawn));
  if (drawn * counts.length < runningTerms) {
    let hit = 0;
    for (let g = 0; g < counts.length; g++) {
      hit += features[g]! * -Math.expm1(logMissProbability(total, counts[g]!, drawn));
    }
    return hit / active;
  }
  let hit = 0;
  let sum = 0;
  let lost = 0;
  let terms = 0;
  for (let g = 0; g < counts.length; g++) {
    const count = counts[g]!;
    if (count + drawn > total) sum = Number.NEGATIVE_INFINITY;
    while (terms < count && sum >= NEGLIGIBLE_LOG) {
      // Compensated: up to 10^6 small terms would otherwise lose four digits of the smallest probabilities.
      const term = Math.log1p(-drawn / (total - terms)) - lost;
      const next = sum + term;
      lost = next - sum - term;
      sum = next;
      terms += 1;
    }
    hit += features[g]! * (sum < NEGLIGIBLE_LOG ? 1 : -Math.expm1(sum));
  }
  return hit / active;
}

function curveSizes(total: number, points: number): number[] {
  if (total <= points) return Array.from({ length: total }, (_, i) => i + 1);
  const sizes = new Set<number>();
  for (let i = 0; i < points; i++) sizes.add(1 + Math.round((total - 1) * (i / (points - 1)) ** 2));
  return [...sizes];
}

function assertCount(name: string, value: number, total: number): void {
  if (!Number.isInteger(value) || value < 0 || value > total) {
    throw new RangeError(`${name}: expected an integer in [0, ${total}], got ${value}`);
  }
}
