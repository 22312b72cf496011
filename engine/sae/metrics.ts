// How good an sae is on rows it did not learn from. Every number is defined in docs/numerics/sae-evaluation.md.

import type { OpenedSae } from "./open-sae.ts";

/** Quality over some set of rows. */
export interface ReconstructionMetrics {
  readonly rows: number;
  /** Σ‖x − x̂‖² / Σ‖x − mean x‖², sums over rows and dimensions: 0 is perfect, 1 is what the mean row would reach. */
  readonly fractionVarianceUnexplained: number;
  /** Mean over rows of ‖x − x̂‖², in residual units squared. */
  readonly meanSquaredError: number;
  /** Mean over rows of cos(x, x̂). */
  readonly meanCosine: number;
  /** Mean number of active features. */
  readonly l0PerRow: number;
}

export interface SaeEvaluation {
  /** Every row. */
  readonly all: ReconstructionMetrics;
  /** Without position 0 and without rows whose norm is above `normFactor` times the median: the rows that training kept. */
  readonly withoutOutliers: ReconstructionMetrics;
  /** Fraction of features that were active in none of the rows kept. Falls as more rows are seen. */
  readonly deadFraction: number;
  /** Fraction of features that were active in more than 10 % of the rows kept. */
  readonly denseFraction: number;
  /** Per feature over the rows kept: fraction of rows in which it was active, mean activation over those rows (0 without any), largest. */
  readonly firingRate_F: Float64Array;
  readonly meanActivation_F: Float64Array;
  readonly maxActivation_F: Float32Array;
}

export interface Evaluation {
  /** Rows of the sae's layer; `position` as in ActivationBatch. */
  add(acts_BD: Float32Array, position_B: Int32Array): Promise<void>;
  /** Throws RangeError when no row was added, or when outliers were all there was. */
  result(): SaeEvaluation;
}

export interface EvaluationOptions {
  /** Median ‖x‖ of the layer: the trainer's `medianNorm` or the model's m_n. Fixed beforehand, so that one pass is enough. */
  readonly medianNorm: number;
  readonly normFactor?: number;
}

const denseAbove = 0.1;

/** Whether training does not see a row. */
export function isLeftOut(position: number, norm: number, { medianNorm, normFactor = 10 }: EvaluationOptions): boolean {
  return position === 0 || norm > normFactor * medianNorm;
}

/** Accumulates in float64; memory does not grow with rows. */
export function createEvaluation(opened: OpenedSae, options: EvaluationOptions): Evaluation {
  const { dModel, width } = opened.sae;
  const all = createSums(dModel);
  const kept = createSums(dModel);
  const fired_F = new Float64Array(width);
  const sum_F = new Float64Array(width);
  const maxActivation_F = new Float32Array(width);

  return {
    async add(acts_BD, position_B) {
      const active = await opened.encode(acts_BD);
      const xhat_BD = opened.decode(active);
      for (let b = 0; b < active.rows; b++) {
        const row = rowSums(acts_BD, xhat_BD, b, dModel);
        const [start, end] = [active.offsets[b]!, active.offsets[b + 1]!];
        all.add(acts_BD, b, row, end - start);
        if (isLeftOut(position_B[b]!, Math.sqrt(row.squares), options)) continue;
        kept.add(acts_BD, b, row, end - start);
        for (let i = start; i < end; i++) {
          const f = active.features[i]!;
          fired_F[f]! += 1;
          sum_F[f]! += active.values[i]!;
          maxActivation_F[f] = Math.max(maxActivation_F[f]!, active.values[i]!);
        }
      }
    },
    result() {
      const withoutOutliers = kept.metrics("rows without outliers");
      const firingRate_F = fired_F.map((count) => count / withoutOutliers.rows);
      const fractionWhere = (test: (rate: number) => boolean) => firingRate_F.filter(test).length / width;
      return {
        all: all.metrics("rows"),
        withoutOutliers,
        deadFraction: fractionWhere((rate) => rate === 0),
        denseFraction: fractionWhere((rate) => rate > denseAbove),
        firingRate_F,
        meanActivation_F: sum_F.map((sum, f) => (fired_F[f] === 0 ? 0 : sum / fired_F[f]!)),
        maxActivation_F: maxActivation_F.slice(),
      };
    },
  };
}

interface RowSums {
  readonly squares: number;
  readonly squaredError: number;
  readonly cosine: number;
}

function rowSums(x_BD: Float32Array, xhat_BD: Float32Array, b: number, dModel: number): RowSums {
  let squares = 0;
  let xhatSquares = 0;
  let product = 0;
  let squaredError = 0;
  for (let i = b * dModel; i < (b + 1) * dModel; i++) {
    const x = x_BD[i]!;
    const xhat = xhat_BD[i]!;
    squares += x * x;
    xhatSquares += xhat * xhat;
    product += x * xhat;
    squaredError += (x - xhat) ** 2;
  }
  const lengths = Math.sqrt(squares * xhatSquares);
  return { squares, squaredError, cosine: lengths === 0 ? 0 : product / lengths };
}

function createSums(dModel: number) {
  // Sums are taken around the first row, so that a large common offset does not cancel away the variance.
  let origin_D: Float32Array | null = null;
  const sum_D = new Float64Array(dModel);
  let squares = 0;
  let rows = 0;
  let squaredError = 0;
  let cosine = 0;
  let l0 = 0;
  return {
    add(x_BD: Float32Array, b: number, row: RowSums, active: number): void {
      const x_D = x_BD.subarray(b * dModel, (b + 1) * dModel);
      origin_D ??= x_D.slice();
      for (let d = 0; d < dModel; d++) {
        const x = x_D[d]! - origin_D[d]!;
        sum_D[d]! += x;
        squares += x * x;
      }
      rows++;
      squaredError += row.squaredError;
      cosine += row.cosine;
      l0 += active;
    },
    metrics(what: string): ReconstructionMetrics {
      if (rows === 0) throw new RangeError(`there are no ${what} to evaluate on`);
      const variance = squares - sum_D.reduce((sum, s) => sum + s * s, 0) / rows;
      return {
        rows,
        fractionVarianceUnexplained: squaredError / variance,
        meanSquaredError: squaredError / rows,
        meanCosine: cosine / rows,
        l0PerRow: l0 / rows,
      };
    },
  };
}
