// Operators that carry a state from token to token, as plain loops.

import { at, build, type NdArray } from "./array.ts";
import { float, int, type Kernel } from "./kernel.ts";

export const recurrent: Readonly<Record<string, Kernel>> = {
  // scale · ln(1 + e^(decay + bias)), σ(rate)
  LinearAttentionGate: ([decay, bias, scale, rate]) => [
    build(decay!.shape, (c) => at(scale!, [c[2]!]) * Math.log1p(Math.exp(at(decay!, c) + at(bias!, [c[2]!])))),
    build(rate!.shape, (c) => 1 / (1 + Math.exp(-at(rate!, c)))),
  ],

  // M ← e^g M;  M ← M + k (β (v − Mᵀk))ᵀ;  o = scale · Mᵀ q
  LinearAttention: ([query, key, value, past, decay, rate], node) => {
    const [keyHeads, scale] = [int(node, "q_num_heads"), float(node, "scale")];
    const [S, heads, keyDim, valueDim] = past!.shape as [number, number, number, number];
    const T = query!.shape[1]!;
    const state: NdArray = { shape: past!.shape, data: past!.data.slice() };
    const output: NdArray = build(value!.shape, () => 0);
    for (let s = 0; s < S; s++) {
      for (let head = 0; head < heads; head++) {
        const shared = Math.floor((head * keyHeads) / heads);
        const ofKey = (x: NdArray, t: number, i: number) => at(x, [s, t, shared * keyDim + i]);
        for (let t = 0; t < T; t++) {
          const kept = Math.exp(at(decay!, [s, t, head]));
          for (let j = 0; j < valueDim; j++) {
            const cell = (i: number) => ((s * heads + head) * keyDim + i) * valueDim + j;
            let known = 0;
            for (let i = 0; i < keyDim; i++) {
              state.data[cell(i)]! *= kept;
              known += state.data[cell(i)]! * ofKey(key!, t, i);
            }
            const written = at(rate!, [s, t, head]) * (at(value!, [s, t, head * valueDim + j]) - known);
            let read = 0;
            for (let i = 0; i < keyDim; i++) {
              state.data[cell(i)]! += ofKey(key!, t, i) * written;
              read += state.data[cell(i)]! * ofKey(query!, t, i);
            }
            output.data[((s * T + t) * heads + head) * valueDim + j] = scale * read;
          }
        }
      }
    }
    return [output, state];
  },
};
