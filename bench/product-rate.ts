// How fast a large product with a constant matrix runs: the floor of whatever consists of such products.

import { Graph } from "../engine/onnx/graph.ts";
import { gemm } from "../engine/ops/matmul.ts";
import { openSession } from "../engine/runtime/session.ts";
import { tensor } from "../engine/runtime/tensor.ts";

const [rows, inner, columns] = [2048, 1024, 3072];

/** A function that gives the operations (multiplications and additions) per second of the fastest of three products. */
export async function openProduct(threads: number): Promise<() => Promise<number>> {
  const graph = new Graph("product");
  const weight = graph.constant(new Float32Array(columns * inner).fill(0.01), "float32", [columns, inner]);
  graph.output(gemm(graph.input("x", "float32", [rows, inner]), weight, { transposeB: true }), "y");
  const session = await openSession(graph, { threads });
  const x = tensor("float32", new Float32Array(rows * inner).fill(0.01), [rows, inner]);
  const y = tensor("float32", new Float32Array(rows * columns), [rows, columns]);
  return async () => {
    let fastest = 0;
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      await session.run({ x }, { into: { y } });
      fastest = Math.max(fastest, (2 * rows * inner * columns) / ((performance.now() - start) / 1000));
    }
    return fastest;
  };
}
