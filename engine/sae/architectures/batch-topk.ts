// BatchTopK: the k · B largest activations of a batch, wherever they are. Rows that need more features than k get them.

import { Graph } from "../../onnx/graph.ts";
import { gemm } from "../../ops/matmul.ts";
import { reduceSum } from "../../ops/reduce.ts";
import { openSession } from "../../runtime/session.ts";
import { tensor } from "../../runtime/tensor.ts";
import type { ActivationRule } from "../architecture.ts";
import { expectFinitePreActivations } from "../pre-activations.ts";
import type { BatchShape, RunsOn, Selector } from "../workspace.ts";
import { createBatchSelection } from "./batch-selection.ts";

/**
 * Selects the k · B largest positive pre-activations of a batch of B rows.
 *
 *     z = pre where pre is among the k·B largest of ReLU(pre_BF), else 0         loss = fvu + auxCoefficient · aux
 *
 * What is active in one row depends on the other rows, so for use the rule is a threshold instead: see `batchTopKRule`.
 * [B, D] float32 in, entries by row out; throws RangeError naming the row when a pre-activation is not finite.
 * Source: Bussmann, Leask and Nanda 2024 (BatchTopK), §3.
 */
export async function openBatchTopK(shape: BatchShape, runsOn: RunsOn): Promise<Selector> {
  const { dModel, width, batchRows, microBatchRows: rows } = shape;
  const session = await openSession(encoderGraph(shape), runsOn);
  const pre_BF = new Float32Array(rows * width);
  const into = { pre: tensor("float32", pre_BF, [rows, width]) };
  // One selection for each k that annealing asks for would never be reused: the counts differ, the arrays may be shared.
  let selection = createBatchSelection(shape.k * batchRows);
  let selectedK = shape.k;

  return {
    async select(weights, x_BD, k) {
      if (k !== selectedK) selection = createBatchSelection(k * batchRows);
      selectedK = k;
      for (let b = 0; b < batchRows; b += rows) {
        const found = await session.run(
          {
            x: tensor("float32", x_BD.subarray(b * dModel, (b + rows) * dModel), [rows, dModel]),
            W_enc: tensor("float32", weights.W_enc_FD, [width, dModel]),
            b_enc: tensor("float32", weights.b_enc_F),
          },
          { fetch: ["sum"], into },
        );
        expectFinitePreActivations(found.sum!, b);
        selection.add(pre_BF, b, width);
      }
      return selection.take(batchRows);
    },
    close: () => session.close(),
  };
}

/** x → pre-activations, and their sum per row, which is NaN or infinite when one of them is. */
function encoderGraph({ dModel, width }: BatchShape): Graph {
  const graph = new Graph("sae-batch-topk");
  const x_BD = graph.input("x", "float32", ["B", dModel]);
  const W_enc_FD = graph.input("W_enc", "float32", [width, dModel]);
  const pre_BF = gemm(x_BD, W_enc_FD, { bias: graph.input("b_enc", "float32", [width]), transposeB: true });
  graph.output(pre_BF, "pre");
  graph.output(reduceSum(pre_BF, [1]), "sum");
  return graph;
}

/** A running mean of the batches' smallest activations. */
export interface RunningThreshold {
  /** Σ_i (1−β) β^(n−i) · threshold_i */
  readonly sum: number;
  /** 1 − βⁿ: what a constant threshold of 1 would have summed to. */
  readonly weight: number;
}

export const noThreshold: RunningThreshold = { sum: 0, weight: 0 };

export function updateThreshold({ sum, weight }: RunningThreshold, ofBatch: number, beta: number): RunningThreshold {
  return { sum: beta * sum + (1 - beta) * ofBatch, weight: beta * weight + (1 - beta) };
}

/**
 * The rule of the finished sae: one threshold θ for all features, the running mean of the smallest activation that each batch kept.
 *
 *     z = pre where pre > θ,   θ = E[min{ z : z > 0 }]
 *
 * Source: Bussmann et al. 2024, §3.2. The mean is exponential with factor `thresholdBeta`, free of its start's bias.
 */
export function batchTopKRule(width: number, { sum, weight }: RunningThreshold, inputScale: number): ActivationRule {
  const threshold = weight === 0 ? 0 : (sum / weight) * inputScale;
  return { kind: "jumprelu", threshold_F: new Float32Array(width).fill(threshold) };
}
