// JumpReLU: every feature has a threshold of its own, learned by gradients that look at a narrow band around it.

import { Graph, type Value } from "../../onnx/graph.ts";
import { abs, cast, greater, less, mul, sub, where } from "../../ops/elementwise.ts";
import { gemm } from "../../ops/matmul.ts";
import { reduceSum, reduceSumSquare } from "../../ops/reduce.ts";
import { openSession } from "../../runtime/session.ts";
import { tensor } from "../../runtime/tensor.ts";
import type { ActivationRule } from "../architecture.ts";
import type { AuxLoss } from "../aux-loss.ts";
import { expectFinitePreActivations } from "../pre-activations.ts";
import { totalVariance } from "../variance.ts";
import type { BatchShape, GradientWorkspace, RunsOn, SaeTensors } from "../workspace.ts";

type Shape = Pick<BatchShape, "dModel" | "width" | "batchRows" | "microBatchRows">;

/**
 * Forward and backward pass of some rows, dense.
 *
 *     z = pre · H(pre − θ)            error = z · W_dec + b_dec − x            G = scale · error
 *     dz = G · W_decᵀ                 dpre = dz · H(pre − θ)
 *     dθ = −(θ/ε) Σ_b K((pre − θ)/ε) · dz         K(u) = 1 where |u| < ½
 *
 * H has no useful derivative; K/ε stands in for it, as if pre-activations were spread evenly over the band of width ε.
 * Dense products, because at the start half of all features are active; the matrices' gradients are added to what came
 * before by the product itself. Source: Rajamanoharan et al. 2024 (JumpReLU), §3 and appendix J.
 */
function jumpReluGraph({ dModel, width }: Shape, bandwidth: number): Graph {
  const graph = new Graph("sae-jumprelu");
  const input = (name: string, shape: (number | string)[]) => graph.input(name, "float32", shape);
  const x_BD = input("x", ["B", dModel]);
  const W_enc_FD = input("W_enc", [width, dModel]);
  const b_enc_F = input("b_enc", [width]);
  const W_dec_FD = input("W_dec", [width, dModel]);
  const b_dec_D = input("b_dec", [dModel]);
  const threshold_F = input("threshold", [width]);
  const scale = input("scale", []);

  const pre_BF = gemm(x_BD, W_enc_FD, { bias: b_enc_F, transposeB: true });
  const isActive_BF = greater(pre_BF, threshold_F);
  const z_BF = where(isActive_BF, pre_BF, 0);
  const error_BD = sub(gemm(z_BF, W_dec_FD, { bias: b_dec_D }), x_BD);
  const G_BD = mul(error_BD, scale);

  const dz_BF = gemm(G_BD, W_dec_FD, { transposeB: true });
  const dpre_BF = where(isActive_BF, dz_BF, 0);
  const nearby_BF = less(abs(sub(pre_BF, threshold_F)), bandwidth / 2);
  const output = (name: string, value: Value) => graph.output(value, name);
  output("sum", reduceSum(pre_BF, [1]));
  output("squaredError", reduceSumSquare(error_BD, [1]));
  output("error", error_BD);
  output("dW_enc", gemm(dpre_BF, x_BD, { bias: input("dW_enc_before", [width, dModel]), transposeA: true }));
  output("db_enc", reduceSum(dpre_BF, [0]));
  output("dW_dec", gemm(z_BF, G_BD, { bias: input("dW_dec_before", [width, dModel]), transposeA: true }));
  output("db_dec", reduceSum(G_BD, [0]));
  output("dThreshold", mul(mul(threshold_F, -1 / bandwidth), reduceSum(where(nearby_BF, dz_BF, 0), [0])));
  output("nearby", reduceSum(cast(nearby_BF, "float32"), [0]));
  output("active", reduceSum(cast(isActive_BF, "float32"), [0]));
  return graph;
}

/**
 * Loss and gradients of a JumpReLU sae.
 *
 *     loss = fvu + auxCoefficient · aux + sparsityCoefficient · (L0/k − 1)²,   L0 = Σ_bf H(pre − θ) / B
 *     dL0/dθ = −(1/(B·ε)) Σ_b K((pre − θ)/ε)
 *
 * The sparsity loss reaches the thresholds only. float32; throws RangeError naming the row when a pre-activation is not
 * finite. Source: Rajamanoharan et al. 2024, eq. 9–12; the squared form with a target L0 (k here): their appendix H.
 */
export async function openJumpRelu(
  shape: Shape,
  bandwidth: number,
  runsOn: RunsOn,
  { gradients, aux }: { gradients: SaeTensors; aux: AuxLoss },
): Promise<GradientWorkspace> {
  const { dModel, width, batchRows, microBatchRows: rows } = shape;
  const session = await openSession(jumpReluGraph(shape, bandwidth), runsOn);
  const error_BD = new Float32Array(batchRows * dModel);
  // A run may not write into what it reads, so the sums so far go to and fro between two arrays.
  const other = { W_enc_FD: new Float32Array(width * dModel), W_dec_FD: new Float32Array(width * dModel) };
  const parts = batchRows / rows;

  return {
    gradients,
    async compute(weights, x_BD, dead, { auxCoefficient, k, threshold_F, sparsityCoefficient = 0 }) {
      if (!threshold_F) throw new RangeError("JumpReLU needs its thresholds");
      const perVariance = 1 / totalVariance(x_BD, dModel);
      const matrix = (values: Float32Array) => tensor("float32", values, [width, dModel]);
      const sums = { db_enc: new Float64Array(width), db_dec: new Float64Array(dModel) };
      const counts = {
        dThreshold: new Float64Array(width),
        nearby: new Float64Array(width),
        active: new Float64Array(width),
      };
      let squaredError = 0;
      let [before, after] = parts % 2 === 0 ? [gradients, other] : [other, gradients];
      before.W_enc_FD.fill(0);
      before.W_dec_FD.fill(0);
      for (let b = 0; b < batchRows; b += rows) {
        const part = (all_BD: Float32Array) =>
          tensor("float32", all_BD.subarray(b * dModel, (b + rows) * dModel), [rows, dModel]);
        const found = await session.run(
          {
            x: part(x_BD),
            W_enc: matrix(weights.W_enc_FD),
            b_enc: tensor("float32", weights.b_enc_F),
            W_dec: matrix(weights.W_dec_FD),
            b_dec: tensor("float32", weights.b_dec_D),
            threshold: tensor("float32", threshold_F),
            scale: tensor("float32", Float32Array.of(2 * perVariance), []),
            dW_enc_before: matrix(before.W_enc_FD),
            dW_dec_before: matrix(before.W_dec_FD),
          },
          {
            fetch: ["sum", "squaredError", ...Object.keys(sums), ...Object.keys(counts)],
            into: { error: part(error_BD), dW_enc: matrix(after.W_enc_FD), dW_dec: matrix(after.W_dec_FD) },
          },
        );
        expectFinitePreActivations(found.sum!, b);
        for (const square of found.squaredError!.data as Float32Array) squaredError += square;
        for (const [name, sum] of Object.entries({ ...sums, ...counts })) addTo(sum, found[name]!.data as Float32Array);
        [before, after] = [after, before];
      }
      gradients.b_enc_F.set(sums.db_enc);
      gradients.b_dec_D.set(sums.db_dec);

      const l0 = counts.active.reduce((sum, count) => sum + count, 0) / batchRows;
      const pull = ((2 * (l0 / k - 1)) / k) * sparsityCoefficient;
      const dThreshold_F = Float32Array.from(
        counts.dThreshold,
        (reconstruction, f) => reconstruction - (pull * counts.nearby[f]!) / (batchRows * bandwidth),
      );
      const weight = { perVariance, coefficient: auxCoefficient };
      return {
        fvu: squaredError * perVariance,
        aux: auxCoefficient > 0 ? await aux.add(gradients, weights, x_BD, error_BD, dead, weight) : 0,
        sparsity: (l0 / k - 1) ** 2,
        l0,
        fired_F: Uint8Array.from(counts.active, (count) => (count > 0 ? 1 : 0)),
        dThreshold_F,
      };
    },
    async close() {
      await session.close();
      await aux.close();
    },
  };
}

function addTo(sum: Float64Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += part[i]!;
}

/** The finished sae's rule: the thresholds in the units of the activations. */
export function jumpReluRule(threshold_F: Float32Array, inputScale: number): ActivationRule {
  return { kind: "jumprelu", threshold_F: threshold_F.map((threshold) => threshold * inputScale) };
}
