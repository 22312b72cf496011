// How fast this machine does what a training step is made of: the numbers that an estimate starts from.

import { Graph } from "../onnx/graph.ts";
import { gemm } from "../ops/matmul.ts";
import { createRandom } from "../runtime/random.ts";
import { openSession } from "../runtime/session.ts";
import { tensor } from "../runtime/tensor.ts";
import { createAuxLoss } from "./aux-loss.ts";
import { zeroTensors } from "./kernels/memory.ts";
import { createSaeOptimiser } from "./optimiser.ts";
import { createSparseWorkspace } from "./sparse-workspace.ts";
import type { RunsOn } from "./workspace.ts";

export interface TrainingSpeed {
  /** Dense float32 products: additions and multiplications. */
  readonly flopsPerSecond: number;
  /** The same in decoding and differentiating sparse rows. */
  readonly sparseFlopsPerSecond: number;
  /** Parameters that the optimiser changes. */
  readonly updatesPerSecond: number;
}

/** Small enough to take a tenth of a second together, large enough that calls cost little of it. */
const [rows, dModel, width, k] = [512, 256, 2048, 32];
/** The best counts: what else the machine does at the moment will not be there for hours. */
const rounds = 3;

/** Takes about a tenth of a second on an idle machine. */
export async function measureTrainingSpeed(runsOn: RunsOn): Promise<TrainingSpeed> {
  const random = createRandom("speed");
  const x_BD = Float32Array.from({ length: rows * dModel }, () => random.normal());
  return {
    flopsPerSecond: (2 * rows * dModel * width) / (await secondsOfProduct(x_BD, runsOn)),
    sparseFlopsPerSecond: (8 * rows * k * dModel) / (await secondsOfSparsePart(x_BD, runsOn)),
    updatesPerSecond: (2 * dModel * width) / (await secondsOfUpdate(runsOn)),
  };
}

async function secondsOfProduct(x_BD: Float32Array, runsOn: RunsOn): Promise<number> {
  const graph = new Graph("speed");
  const x = graph.input("x", "float32", [rows, dModel]);
  graph.output(gemm(x, graph.input("W", "float32", [width, dModel]), { transposeB: true }), "y");
  const session = await openSession(graph, runsOn);
  const feeds = {
    x: tensor("float32", x_BD, [rows, dModel]),
    W: tensor("float32", new Float32Array(width * dModel), [width, dModel]),
  };
  const into = { y: tensor("float32", new Float32Array(rows * width), [rows, width]) };
  const seconds = await best(() => session.run(feeds, { fetch: [], into }));
  await session.close();
  return seconds;
}

async function secondsOfSparsePart(x_BD: Float32Array, runsOn: RunsOn): Promise<number> {
  const shape = { dModel, width, k, batchRows: rows, microBatchRows: rows, auxK: 1 };
  const selection = {
    offsets_B: Int32Array.from({ length: rows + 1 }, (_, b) => b * k),
    features: Int32Array.from({ length: rows * k }, (_, i) => (i * 61) % width),
    z: new Float32Array(rows * k).fill(1),
  };
  const selector = { select: async () => selection, close: async () => {} };
  const parts = { selector, aux: createAuxLoss(shape, runsOn), prefixEnds: [width] };
  const workspace = createSparseWorkspace(shape, runsOn, parts);
  const weights = zeroTensors(dModel, width, "weights");
  const settings = { auxCoefficient: 0, k };
  const seconds = await best(() => workspace.compute(weights, x_BD, new Int32Array(0), settings));
  await workspace.close();
  return seconds;
}

async function secondsOfUpdate({ threads = 0 }: RunsOn): Promise<number> {
  const zeros = (role: "weights" | "gradients" | "m" | "v") => zeroTensors(dModel, width, role);
  const tensors = { weights: zeros("weights"), gradients: zeros("gradients"), m: zeros("m"), v: zeros("v") };
  tensors.weights.W_dec_FD.fill(1 / Math.sqrt(dModel));
  tensors.gradients.W_enc_FD.fill(0.01);
  const optimiser = createSaeOptimiser(tensors, threads);
  const options = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-9, gradientScale: 1 };
  const seconds = await best(async () => {
    optimiser.projectedNorm();
    optimiser.update({ ...options, step: 0 });
  });
  optimiser.close();
  return seconds;
}

async function best(run: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  // The first warms up: pages are touched, kernels compiled.
  for (let round = 0; round <= rounds; round++) {
    const begun = performance.now();
    await run();
    if (round > 0) least = Math.min(least, performance.now() - begun);
  }
  return least / 1000;
}
