// A stored matrix of integers in the place of a float32 one.

import type { FileRange, Graph, Value } from "../onnx/graph.ts";
import type { BlockMatrix } from "../ops/quantized.ts";
import { type BlockBits, blockColumns, blocksPerRow } from "./block-quantization.ts";

/** Where the integers and the scales of one matrix lie. */
export interface StoredBlocks {
  readonly bits: BlockBits;
  readonly packed: FileRange;
  readonly scales: FileRange;
}

/**
 * Goes where a float32 [out, in] value goes. Only `linear` multiplies by it: every other operator finds that no such value is in
 * the graph and says so while building.
 */
export interface QuantizedMatrix extends Value {
  readonly blocks: BlockMatrix;
}

export function quantizedMatrix(
  graph: Graph,
  name: string,
  [out, columns]: readonly [number, number],
  { bits, packed, scales }: StoredBlocks,
): QuantizedMatrix {
  const blocks = blocksPerRow(columns);
  return {
    graph,
    name,
    dtype: "float32",
    shape: [out, columns],
    blocks: {
      packed: graph.external(`${name}.packed`, "uint8", [out, blocks, (blockColumns * bits) / 8], packed),
      scales: graph.external(`${name}.scales`, "float32", [out, blocks], scales),
      bits,
      blockColumns,
      columns,
    },
  };
}

export function isQuantized(value: Value): value is QuantizedMatrix {
  return "blocks" in value;
}
