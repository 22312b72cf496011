/** For each of some directions those that point most nearly the same way. */
import { Graph } from "../onnx/graph.ts";
import { gemm } from "../ops/matmul.ts";
import { topK } from "../ops/topk.ts";
import { openSession } from "../runtime/session.ts";
import { tensor } from "../runtime/tensor.ts";

export interface NearestDirections {
  /** [F, K], nearest first; −1 where there are fewer. */
  readonly index_FK: Int32Array;
  /** [F, K] */
  readonly cosine_FK: Float32Array;
  readonly count: number;
}

interface NearestOptions {
  readonly count: number;
  readonly threads?: number;
  /** Called between blocks of rows, with how many are done. */
  readonly step?: (rows: number) => Promise<void>;
}

/** Elements of one block of products: bounds the memory. */
const BLOCK_ELEMENTS = 2 ** 24;

/**
 * Cosines of every pair, c_ij = d_i·d_j / (‖d_i‖‖d_j‖) in float32, and of each row the `count` largest besides itself. Directions of
 * length 0 have no neighbours and are nobody's.
 *
 * @throws RangeError when the matrix is not [F, D]
 */
export async function nearestDirections(
  directions_FD: Float32Array,
  dModel: number,
  { count, threads, step }: NearestOptions,
): Promise<NearestDirections> {
  const width = directions_FD.length / dModel;
  if (!Number.isInteger(width))
    throw new RangeError(`directions must be rows of ${dModel}, got ${directions_FD.length}`);
  const kept = Math.min(count, Math.max(0, width - 1));
  const index_FK = new Int32Array(width * kept).fill(-1);
  const cosine_FK = new Float32Array(width * kept);
  if (kept === 0) return { index_FK, cosine_FK, count: kept };
  const unit_FD = normalized(directions_FD, dModel);
  // A row is among its own nearest, but for directions of length 0 and copies of others: then one more is looked at in vain.
  const session = await openSession(cosineGraph(width, dModel, kept + 1), threads ? { threads } : {});
  const all = tensor("float32", unit_FD, [width, dModel]);
  const blockRows = Math.max(2, Math.min(width, Math.floor(BLOCK_ELEMENTS / width)));
  try {
    for (let first = 0; first < width; first += blockRows) {
      // A block of one row could take another path through the kernels: the last one begins earlier instead.
      const start = Math.max(0, Math.min(first, width - blockRows));
      const rows = tensor("float32", unit_FD.subarray(start * dModel, (start + blockRows) * dModel), [
        blockRows,
        dModel,
      ]);
      const { cosines, nearest } = await session.run({ rows, all });
      const found = { cosine: cosines!.data as Float32Array, index: nearest!.data as BigInt64Array };
      for (let row = 0; row < blockRows; row++) take(start + row, row * (kept + 1), found);
      await step?.(Math.min(width, first + blockRows));
    }
  } finally {
    await session.close();
  }

  function take(own: number, from: number, { cosine, index }: { cosine: Float32Array; index: BigInt64Array }): void {
    if (isZero(own)) return;
    let filled = 0;
    for (let i = from; i < from + kept + 1 && filled < kept; i++) {
      const other = Number(index[i]);
      if (other === own || isZero(other)) continue;
      index_FK[own * kept + filled] = other;
      cosine_FK[own * kept + filled++] = cosine[i]!;
    }
  }

  function isZero(row: number): boolean {
    for (let i = row * dModel; i < (row + 1) * dModel; i++) if (unit_FD[i] !== 0) return false;
    return true;
  }

  return { index_FK, cosine_FK, count: kept };
}

function cosineGraph(width: number, dModel: number, count: number): Graph {
  const graph = new Graph("nearest-directions");
  const rows = graph.input("rows", "float32", ["B", dModel]);
  const all = graph.input("all", "float32", [width, dModel]);
  const { values, indices } = topK(gemm(rows, all, { transposeB: true }), count);
  graph.output(values, "cosines");
  graph.output(indices, "nearest");
  return graph;
}

function normalized(rows_FD: Float32Array, dModel: number): Float32Array {
  const unit_FD = new Float32Array(rows_FD.length);
  for (let from = 0; from < rows_FD.length; from += dModel) {
    let squares = 0;
    for (let i = from; i < from + dModel; i++) squares += rows_FD[i]! ** 2;
    if (squares === 0) continue;
    const scale = 1 / Math.sqrt(squares);
    for (let i = from; i < from + dModel; i++) unit_FD[i] = rows_FD[i]! * scale;
  }
  return unit_FD;
}
