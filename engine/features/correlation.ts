// Correlation of short vectors, such as the scores of some models on two benchmarks. Undefined is null, never NaN.

/** Below this share of the largest value a difference is rounding: 0.1 + 0.2 and 0.3 are the same score. */
const ROUNDING = 1e-12;
/** Partial correlation divides by √(1 − ρ²); below this 1 − ρ² the quotient is rounding error (about 1e-16 / 1e-8). */
const EXPLAINED = 1e-8;

/** Whether all values are equal, to rounding. Then no correlation with them is defined. */
export function isConstant(values: ArrayLike<number>): boolean {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]!);
    high = Math.max(high, values[i]!);
  }
  return high - low <= ROUNDING * Math.max(Math.abs(low), Math.abs(high));
}

/**
 * Pearson's correlation, Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² · Σ (y − ȳ)²), in [−1, 1].
 *
 * @returns null for fewer than two values and where one side is constant
 * @throws RangeError for vectors of unequal length
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number | null {
  assertPaired(x, y);
  if (x.length < 2 || isConstant(x) || isConstant(y)) return null;
  const [meanX, meanY] = [mean(x), mean(y)];
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const dx = x[i]! - meanX;
    const dy = y[i]! - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
}

/** Spearman's correlation: Pearson's of the ranks, equal values sharing their mean rank. Null as Pearson's. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number | null {
  assertPaired(x, y);
  return pearson(ranks(x), ranks(y));
}

/** Ranks from 1; equal values get the mean of theirs. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const out = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end += 1;
    for (let i = start; i < end; i++) out[order[i]!] = (start + end + 1) / 2;
    start = end;
  }
  return out;
}

/**
 * Kendall's τ-b, (concordant − discordant) / √((pairs − ties in x)(pairs − ties in y)), in [−1, 1]. O(n²).
 *
 * @returns null where all of one side are tied, or with fewer than two values
 * @throws RangeError for vectors of unequal length
 */
export function kendallTauB(x: ArrayLike<number>, y: ArrayLike<number>): number | null {
  assertPaired(x, y);
  let [difference, untiedX, untiedY] = [0, 0, 0];
  for (let i = 1; i < x.length; i++) {
    for (let j = 0; j < i; j++) {
      const sx = Math.sign(x[i]! - x[j]!);
      const sy = Math.sign(y[i]! - y[j]!);
      difference += sx * sy;
      untiedX += sx * sx;
      untiedY += sy * sy;
    }
  }
  // The product is exact far beyond any number of models, and so is the root of a square: τ(x, x) is 1, not 1 + 2⁻⁵².
  return untiedX === 0 || untiedY === 0 ? null : difference / Math.sqrt(untiedX * untiedY);
}

/**
 * Correlation of a and b with c held fixed: (ρ_ab − ρ_ac ρ_bc) / (√(1 − ρ_ac²) √(1 − ρ_bc²)) (Qwen-Scope, Eq. 12).
 *
 * @returns null where c explains one side (almost) entirely, so that nothing is left to correlate
 */
export function partialCorrelation(ab: number, ac: number, bc: number): number | null {
  const [left, right] = [1 - ac * ac, 1 - bc * bc];
  if (left < EXPLAINED || right < EXPLAINED) return null;
  return Math.max(-1, Math.min(1, (ab - ac * bc) / (Math.sqrt(left) * Math.sqrt(right))));
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

function assertPaired(x: ArrayLike<number>, y: ArrayLike<number>): void {
  if (x.length !== y.length) throw new RangeError(`correlation: ${x.length} values with ${y.length}`);
}
