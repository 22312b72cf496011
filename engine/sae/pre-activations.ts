import type { Tensor } from "../runtime/tensor.ts";

/** Throws RangeError naming the first row whose sum over features is NaN or infinite; rows count from `firstRow`. */
export function expectFinitePreActivations(sum_B: Tensor, firstRow: number): void {
  const row = (sum_B.data as Float32Array).findIndex((sum) => !Number.isFinite(sum));
  if (row >= 0) throw new RangeError(`pre-activations of row ${firstRow + row} are not finite`);
}
