// The dense products of an sae as ONNX graphs. Weights are inputs, not initializers: training changes them at every step,
// and one session then serves every sae of the same sizes.

import { gradients } from "../autodiff/gradient.ts";
import { Graph, type Value } from "../onnx/graph.ts";
import { add, cast, greaterOrEqual, mul, relu, where } from "../ops/elementwise.ts";
import { slice } from "../ops/indexing.ts";
import { gemm, matMul } from "../ops/matmul.ts";
import { matMulInteger } from "../ops/quantized.ts";
import { reduceSum, reduceSumSquare } from "../ops/reduce.ts";
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

/** products_FB = (weights_FD − zero) · x_DB in integers. */
export function integerProductGraph(dModel: number, width: number, zero: number): Graph {
  const graph = new Graph("sae-integer-product");
  const weights_FD = graph.input("weights", "uint8", [width, dModel]);
  const x_DB = graph.input("x", "int8", [dModel, "B"]);
  graph.output(matMulInteger(weights_FD, x_DB, zero), "products");
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
