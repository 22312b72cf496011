/** Σ_b ‖x_b − x̄‖² in float64. Throws RangeError when the rows are all the same: there is nothing to explain. */
export function totalVariance(x_BD: Float32Array, dModel: number): number {
  const rows = x_BD.length / dModel;
  const sum_D = new Float64Array(dModel);
  let squares = 0;
  for (let i = 0; i < x_BD.length; i += dModel) {
    for (let d = 0; d < dModel; d++) {
      const x = x_BD[i + d]!;
      sum_D[d]! += x;
      squares += x * x;
    }
  }
  let meanSquares = 0;
  for (let d = 0; d < dModel; d++) meanSquares += (sum_D[d]! * sum_D[d]!) / rows;
  const variance = squares - meanSquares;
  if (!(variance > squares * 1e-12))
    throw new RangeError(`activations must differ between rows, their variance is ${variance}`);
  return variance;
}
