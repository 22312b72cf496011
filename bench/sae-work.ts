// What the benchmarks of training measure: a step of ours, and the encoder product that is its floor.

import { createRandom } from "../engine/runtime/random.ts";
import { openSession } from "../engine/runtime/session.ts";
import { tensor } from "../engine/runtime/tensor.ts";
import { architectures } from "../engine/sae/architectures/table.ts";
import { resolveConfig } from "../engine/sae/config.ts";
import { preActivationGraph } from "../engine/sae/graphs.ts";
import { createLearner, initialState } from "../engine/sae/learner.ts";

export interface StepSize {
  readonly dModel: number;
  readonly width: number;
  readonly k: number;
  readonly batchRows: number;
  readonly microBatchRows: number;
  readonly auxK: number;
}

/** Rows like a residual stream's: around an offset. */
function makeRows({ dModel, batchRows }: StepSize): Float32Array {
  const random = createRandom(0);
  const offset_D = Float32Array.from({ length: dModel }, () => random.normal());
  return Float32Array.from({ length: batchRows * dModel }, (_, i) => offset_D[i % dModel]! + random.normal());
}

function begin(size: StepSize) {
  const x_BD = makeRows(size);
  const options = { layer: 0, rows: size.batchRows * 1000, scaleInput: false, medianRows: 256, ...size };
  const config = resolveConfig(options);
  return { x_BD, config, state: initialState(config, x_BD, createRandom(1)) };
}

/** One optimiser step, with the first features, this part of all, counted as dead. */
export async function openStep(size: StepSize): Promise<(dead: number) => Promise<void>> {
  const { x_BD, config, state } = begin(size);
  const learner = createLearner(config, state, await architectures.topk.open(config, {}));
  return async (dead) => {
    // The same features at every step, however many of them the last one revived.
    state.silentRows_F.fill(0).fill(2 * config.deadAfterRows, 0, Math.round(dead * size.width));
    await learner.step(x_BD);
  };
}

/** Pre-activations of a batch in float32, in the micro-batches of a step. */
export async function openProduct(size: StepSize): Promise<() => Promise<void>> {
  const { x_BD, state } = begin(size);
  const { dModel, width, batchRows, microBatchRows: rows } = size;
  const session = await openSession(preActivationGraph(size));
  const W_enc = tensor("float32", state.weights.W_enc_FD, [width, dModel]);
  const b_enc = tensor("float32", state.weights.b_enc_F);
  const pre = tensor("float32", new Float32Array(rows * width), [rows, width]);
  return async () => {
    for (let b = 0; b < batchRows; b += rows) {
      const x = tensor("float32", x_BD.subarray(b * dModel, (b + rows) * dModel), [rows, dModel]);
      await session.run({ x, W_enc, b_enc }, { into: { pre } });
    }
  };
}
