/** What an import measures on the calibration text. */

/** Norms above this multiple of the median are sinks, not signal (Marks et al. 2024; Qwen-Scope §2.2). */
export const OUTLIER_FACTOR = 10;

export interface NormCollector {
  add(acts_BD: Float32Array, position_B: Int32Array, dModel: number): void;
  /** Null when nothing was added but first positions. */
  median(): number | null;
}

/**
 * m_n: the median L2 norm of the rows of one layer, in the residual stream's own units.
 *
 *     m = median{ ‖h‖ : position > 0, ‖h‖ ≤ 10 · median{ ‖h‖ : position > 0 } }
 *
 * Rows are float32; norms are summed in float64.
 */
export function createNormCollector(): NormCollector {
  const norms: number[] = [];
  return {
    add(acts_BD, position_B, dModel) {
      for (let row = 0; row < position_B.length; row++) {
        if (position_B[row] === 0) continue;
        let sum = 0;
        for (let d = row * dModel; d < (row + 1) * dModel; d++) sum += acts_BD[d]! ** 2;
        norms.push(Math.sqrt(sum));
      }
    },
    median() {
      const first = medianOf(norms);
      return first === null ? null : medianOf(norms.filter((norm) => norm <= OUTLIER_FACTOR * first));
    },
  };
}

/** The middle value, or the mean of the two middle ones; null of none. */
export function medianOf(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return null;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
