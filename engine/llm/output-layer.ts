// The output layer of the inference graph: hidden rows to logits.

import type { Dim, Graph, Value } from "../onnx/graph.ts";
import { ifElse } from "../ops/control.ts";
import { cast, greater } from "../ops/elementwise.ts";
import { gather } from "../ops/indexing.ts";
import { rmsNorm } from "../ops/norm.ts";
import { concat, sizeOf, squeeze } from "../ops/shape.ts";
import type { DecoderConfig } from "./config.ts";
import { linear } from "./linear.ts";
import type { Products, StoredParameter } from "./stored-weights.ts";

/**
 * The head is the largest matrix, and one that is being packed for products is in memory twice: in pieces of its rows that costs
 * 150 MB instead of 600 on top of Qwen3-0.6B's 2.4 GB. The runtime frees what it packed from at the end of each graph, so every
 * piece is multiplied in a branch of its own. Joining the logits costs 0.1 ms a row.
 */
const headPieces = 4;

/** The rows of a stored head [V, D] in consecutive pieces: each an initializer of its own over a part of the same bytes. */
export function headInPieces(
  graph: Graph,
  { vocabulary, dModel }: DecoderConfig,
  stored: StoredParameter,
  products: Products,
): Value[] {
  const { dtype, where } = stored;
  const rowBytes = where.lengthBytes / vocabulary;
  const most = Math.ceil(vocabulary / headPieces);
  const pieces: Value[] = [];
  for (let first = 0; first < vocabulary; first += most) {
    const rows = Math.min(most, vocabulary - first);
    const range = { file: where.file, offset: where.offset + first * rowBytes, lengthBytes: rows * rowBytes };
    const piece = graph.external(`head.rows_from_${first}`, dtype, [rows, dModel], range);
    pieces.push(products === "stored" ? piece : cast(piece, "float32"));
  }
  return pieces;
}

/** norm(h[rows]) · headᵀ, [R, V], or nothing when no row is asked for. */
export function logits(
  h: Value,
  rows: Value,
  config: DecoderConfig,
  { norm, head }: { readonly norm: Value; readonly head: readonly Value[] },
): Value {
  const any = squeeze(greater(sizeOf(h.graph, "R"), h.graph.constant(0, "int64", [])), [0]);
  const whenAny = (width: Dim, build: () => Value) => {
    const none = () => [h.graph.current.constant(new Float32Array(), "float32", [0, width])];
    return ifElse(any, () => [build()], none, { shapes: [["R", width]] })[0]!;
  };
  const normed = whenAny(config.dModel, () => rmsNorm(gather(h, rows), norm, config.rmsEpsilon));
  const parts = head.map((weight) => whenAny(weight.shape[0]!, () => linear(normed, { weight, bias: null })));
  return parts.length === 1 ? parts[0]! : concat(parts, -1);
}
