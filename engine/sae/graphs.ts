// The dense products of an sae as ONNX graphs. Weights are inputs, not initializers: training changes them at every step,
// and one session then serves every sae of the same sizes.

import { gradients } from "../autodiff/gradient.ts";
import { Graph, type Value } from "../onnx/graph.ts";
import { add, cast, greaterOrEqual, mul, relu, sub, where } from "../ops/elementwise.ts";
import { gather, slice } from "../ops/indexing.ts";
import { gemm, matMul } from "../ops/matmul.ts";
import { reduceSum, reduceSumSquare } from "../ops/reduce.ts";
import { squeeze, unsqueeze } from "../ops/shape.ts";
import { topK } from "../ops/topk.ts";

export interface SaeSizes {
  readonly dModel: number;
  readonly width: number;
}

/** pre_BF = x_BD · W_encᵀ + b_enc */
function preActivations(graph: Graph, x_BD: Value, { dModel, width }: SaeSizes): Value {
  const W_enc_FD = graph.input("W_enc", "float32", [width, dModel]);
  const b_enc_F = graph.input("b_enc", "float32", [width]);
  return gemm(x_BD, W_enc_FD, { bias: b_enc_F, transposeB: true });
}

/** z_BK and their features, largest first; `sum` is one number per row that is NaN or infinite when a pre-activation is. */
function topKOfRelu(graph: Graph, pre_BF: Value, k: number): { z_BK: Value; features_BK: Value } {
  // TopK gives garbage without an error when it meets NaN, so whoever runs this graph looks at `sum` first. Reading the
  // pre-activations once more costs 2 % of the product that made them.
  graph.output(reduceSum(pre_BF, [1]), "sum");
  const { values, indices } = topK(pre_BF, k);
  return { z_BK: relu(values), features_BK: indices };
}

/** x → pre-activations. */
export function preActivationGraph(sizes: SaeSizes): Graph {
  const graph = new Graph("sae-pre-activations");
  const x_BD = graph.input("x", "float32", ["B", sizes.dModel]);
  graph.output(preActivations(graph, x_BD, sizes), "pre");
  return graph;
}

/** x → the k active features of each row, largest first (z is 0 where fewer than k pre-activations are positive). */
export function topKGraph(sizes: SaeSizes, k: number): Graph {
  const graph = new Graph("sae-topk");
  const x_BD = graph.input("x", "float32", ["B", sizes.dModel]);
  const { z_BK, features_BK } = topKOfRelu(graph, preActivations(graph, x_BD, sizes), k);
  graph.output(z_BK, "z");
  graph.output(cast(features_BK, "int32"), "features");
  return graph;
}

/**
 * The forward pass of a training step and what of the backward pass is made of the same decoder rows.
 *
 *     error_BD = z_BK · W_dec[features_BK] + b_dec − x
 *     dz_BK    = error_BD · W_dec[features_BK]ᵀ      (∂(½‖error‖²)/∂z; meaningful where z > 0, which is where it is read)
 *
 * The K rows of each token are gathered once for both products: at 1024 rows, D 1024, F 16384, K 50 the gather and both
 * products add a fifth to the encoder's time, a dense decoder would add its double.
 */
export function trainingGraph(sizes: SaeSizes, k: number): Graph {
  const { dModel, width } = sizes;
  const graph = new Graph("sae-training");
  const x_BD = graph.input("x", "float32", ["B", dModel]);
  const pre_BF = preActivations(graph, x_BD, sizes);
  const W_dec_FD = graph.input("W_dec", "float32", [width, dModel]);
  const b_dec_D = graph.input("b_dec", "float32", [dModel]);
  const { z_BK, features_BK } = topKOfRelu(graph, pre_BF, k);

  const directions_BKD = gather(W_dec_FD, features_BK);
  const decoded_BD = squeeze(matMul(unsqueeze(z_BK, [1]), directions_BKD), [1]);
  const error_BD = sub(add(decoded_BD, b_dec_D), x_BD);
  const along_BK = squeeze(matMul(directions_BKD, unsqueeze(error_BD, [2])), [2]);

  graph.output(z_BK, "z");
  graph.output(cast(features_BK, "int32"), "features");
  graph.output(error_BD, "error");
  graph.output(along_BK, "dz");
  graph.output(reduceSumSquare(error_BD, [1]), "squaredError");
  return graph;
}

/**
 * AuxK: the dead features alone reconstruct what the living ones missed, and learn from how well they do.
 *
 *     ê_BD = TopK_kAux(ReLU(x · W_enc_deadᵀ + b_enc_dead)) · W_dec_dead
 *     loss = weight · Σ_b ‖ê_b + error_b‖²           (error = x̂ − x is a constant here)
 *
 * Dense over the N dead rows, which are gathered before: at k_aux 512 a gathered decode is 30 times slower (measured).
 * The gradients of the three gathered tensors come from autodiff. `kAux` null takes all N. Source: Gao et al. 2024, §A.2.
 */
export function auxGraph(dModel: number, kAux: number | null): Graph {
  const graph = new Graph("sae-aux");
  const x_BD = graph.input("x", "float32", ["B", dModel]);
  const error_BD = graph.input("error", "float32", ["B", dModel]);
  const weight = graph.input("weight", "float32", []);
  const W_enc_ND = graph.input("W_enc", "float32", ["N", dModel]);
  const b_enc_N = graph.input("b_enc", "float32", ["N"]);
  const W_dec_ND = graph.input("W_dec", "float32", ["N", dModel]);

  const pre_BN = gemm(x_BD, W_enc_ND, { bias: b_enc_N, transposeB: true });
  const z_BN = kAux === null ? relu(pre_BN) : largestOfRelu(pre_BN, kAux);
  const missed_BD = add(matMul(z_BN, W_dec_ND), error_BD);
  const loss = mul(reduceSumSquare(missed_BD, [0, 1]), weight);

  const [dW_enc_ND, db_enc_N, dW_dec_ND] = gradients(loss, [W_enc_ND, b_enc_N, W_dec_ND]);
  graph.output(loss, "loss");
  graph.output(dW_enc_ND!, "dW_enc");
  graph.output(db_enc_N!, "db_enc");
  graph.output(dW_dec_ND!, "dW_dec");
  return graph;
}

/** ReLU of the k largest of each row, 0 elsewhere, as a dense matrix. Equals of the k-th pass too. */
function largestOfRelu(pre_BN: Value, k: number): Value {
  const kth_B1 = slice(topK(pre_BN, k).values, 1, k - 1, k);
  return where(greaterOrEqual(pre_BN, kth_B1), relu(pre_BN), 0);
}
