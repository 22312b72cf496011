// A gated delta net as plain loops in float64, straight from the files: see delta-net.ts for the operators.

import type { DecoderConfig } from "./config.ts";
import { dot, linear, type Row, rmsNorm, silu, type Weights } from "./reference-rows.ts";

/** x: the normed rows of one text; the result is what the layer adds to its residual stream. */
export async function referenceDeltaNet(
  config: DecoderConfig,
  weights: Weights,
  prefix: string,
  x: Row[],
): Promise<Row[]> {
  const { keyHeads, valueHeads, keyDim, valueDim } = config.deltaNet!;
  const project = (name: string) => linear(weights, `${prefix}.${name}`, false, x);
  const mixed = causalConvolution(await project("in_proj_qkv"), await weights(`${prefix}.conv1d.weight`));
  const [gates, rates, decays] = [await project("in_proj_z"), await project("in_proj_b"), await project("in_proj_a")];
  const [decayLog, decayBias] = [await weights(`${prefix}.A_log`), await weights(`${prefix}.dt_bias`)];
  const norm = await weights(`${prefix}.norm.weight`);
  const read = mixed.map(() => new Float64Array(valueHeads * valueDim));
  for (let head = 0; head < valueHeads; head++) {
    const shared = Math.floor((head * keyHeads) / valueHeads);
    const state = Array.from({ length: valueDim }, () => new Float64Array(keyDim));
    mixed.forEach((row, t) => {
      const part = (start: number, width: number) => row.subarray(start, start + width);
      const query = ofLengthOne(part(shared * keyDim, keyDim));
      const key = ofLengthOne(part((keyHeads + shared) * keyDim, keyDim));
      const value = part(2 * keyHeads * keyDim + head * valueDim, valueDim);
      const kept = Math.exp(-Math.exp(decayLog[head]!) * Math.log1p(Math.exp(decays[t]![head]! + decayBias[head]!)));
      const rate = 1 / (1 + Math.exp(-rates[t]![head]!));
      const out = state.map((cells, j) => {
        for (let i = 0; i < keyDim; i++) cells[i]! *= kept;
        const written = rate * (value[j]! - dot(cells, key));
        for (let i = 0; i < keyDim; i++) cells[i]! += written * key[i]!;
        return dot(cells, query) / Math.sqrt(keyDim);
      });
      const normed = rmsNorm(Float64Array.from(out), norm, config.rmsEpsilon);
      const gate = gates[t]!.subarray(head * valueDim, (head + 1) * valueDim);
      read[t]!.set(
        normed.map((o, j) => o * silu(gate[j]!)),
        head * valueDim,
      );
    });
  }
  return linear(weights, `${prefix}.out_proj`, false, read);
}

/** silu(Σ_i w_i ⊙ x_{t − kernel + 1 + i}), zeros before the text; w [channels, 1, kernel]. */
function causalConvolution(rows: Row[], weight: Float32Array): Row[] {
  const kernel = weight.length / rows[0]!.length;
  return rows.map((row, t) =>
    row.map((_, channel) => {
      let sum = 0;
      for (let i = 0; i < kernel; i++)
        sum += weight[channel * kernel + i]! * (rows[t - kernel + 1 + i]?.[channel] ?? 0);
      return silu(sum);
    }),
  );
}

function ofLengthOne(x: Row): Row {
  const scale = 1 / Math.sqrt(dot(x, x) + 1e-6);
  return x.map((value) => value * scale);
}
