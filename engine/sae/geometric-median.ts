/**
 * The point with the least sum of distances to the rows, by Weiszfeld's iteration from the mean:
 *
 *     y ← Σ_b x_b/‖x_b − y‖ / Σ_b 1/‖x_b − y‖
 *
 * Unlike the mean it is hardly moved by a few rows of enormous norm, which residual streams have.
 * In: [B, D] row-major float32; out: [D] float64. Stops when y moves by less than `tolerance` times the mean distance.
 * Throws RangeError without rows. Source: Weiszfeld 1937; a row that y hits is treated as in Vardi and Zhang 2000, §2.
 */
export function geometricMedian(
  acts_BD: Float32Array,
  dModel: number,
  { maxIterations = 100, tolerance = 1e-6 } = {},
): { median_D: Float64Array; meanDistance: number; iterations: number } {
  const rows = acts_BD.length / dModel;
  if (!Number.isInteger(rows) || rows < 1) throw new RangeError(`geometric median needs whole rows, got ${rows}`);

  let median_D: Float64Array = new Float64Array(dModel);
  for (let b = 0; b < rows; b++) for (let d = 0; d < dModel; d++) median_D[d]! += acts_BD[b * dModel + d]! / rows;

  let meanDistance = 0;
  for (let iterations = 1; ; iterations++) {
    const next_D = new Float64Array(dModel);
    let weights = 0;
    let distances = 0;
    let hits = 0;
    for (let b = 0; b < rows; b++) {
      const distance = distanceTo(median_D, acts_BD, b * dModel);
      distances += distance;
      if (distance === 0) {
        hits++;
        continue;
      }
      const weight = 1 / distance;
      weights += weight;
      for (let d = 0; d < dModel; d++) next_D[d]! += weight * acts_BD[b * dModel + d]!;
    }
    meanDistance = distances / rows;
    if (hits === rows) return { median_D, meanDistance, iterations };

    // The pull of the other rows, and how far the rows under y (if any) hold it back.
    let pull = 0;
    for (let d = 0; d < dModel; d++) pull += (next_D[d]! - weights * median_D[d]!) ** 2;
    const step = hits === 0 ? 1 : Math.max(0, 1 - hits / Math.sqrt(pull));
    let moved = 0;
    for (let d = 0; d < dModel; d++) {
      const target = median_D[d]! + step * (next_D[d]! / weights - median_D[d]!);
      moved += (target - median_D[d]!) ** 2;
      next_D[d] = target;
    }
    median_D = next_D;
    if (Math.sqrt(moved) <= tolerance * meanDistance || iterations >= maxIterations) {
      return { median_D, meanDistance, iterations };
    }
  }
}

function distanceTo(point_D: Float64Array, acts_BD: Float32Array, offset: number): number {
  let sum = 0;
  for (let d = 0; d < point_D.length; d++) sum += (acts_BD[offset + d]! - point_D[d]!) ** 2;
  return Math.sqrt(sum);
}
