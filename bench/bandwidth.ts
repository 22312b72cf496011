// How fast memory is read: the floor of whatever has to read more than the caches hold.

import { Graph } from "../engine/onnx/graph.ts";
import { reduceSum } from "../engine/ops/reduce.ts";
import { openSession } from "../engine/runtime/session.ts";
import { tensor } from "../engine/runtime/tensor.ts";

const [rows, columns] = [64, 2 ** 21];

/** A function that sums 512 MiB and gives the bytes per second of the fastest of three times. */
export async function openReading(threads: number): Promise<() => Promise<number>> {
  const graph = new Graph("reading");
  graph.output(reduceSum(graph.input("x", "float32", [rows, columns]), [-1]), "sums");
  const session = await openSession(graph, { threads });
  const x = tensor("float32", new Float32Array(rows * columns).fill(1), [rows, columns]);
  return async () => {
    let fastest = 0;
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      await session.run({ x });
      fastest = Math.max(fastest, (4 * rows * columns) / ((performance.now() - start) / 1000));
    }
    return fastest;
  };
}
