// The gated delta rule and its gates as the runtime's own kernels: token by token, so that a token's bits do not depend on how many
// others are in the run. The differentiable forms are engine/llm/delta-chunks.ts and the elementary operators.

import type { Value } from "../onnx/graph.ts";
import { formatShape } from "../onnx/shape.ts";
import { illegalShape, requireDType } from "./emit.ts";

export interface GatedDeltaInputs {
  /** [S, T, keyHeads · keyDim]; keys of length 1 (or less). */
  readonly query: Value;
  readonly key: Value;
  /** [S, T, valueHeads · valueDim]; valueHeads is a multiple of keyHeads, neighbours share a key head. */
  readonly value: Value;
  /** ln of what is left of the state after a step, ≤ 0, and how much of the new value is written: [S, T, valueHeads]. */
  readonly decay: Value;
  readonly rate: Value;
  /** [S, valueHeads, keyDim, valueDim] before the first token. */
  readonly state: Value;
  readonly keyHeads: number;
}

/**
 * M ← e^g M;  M ← M + k (β (v − Mᵀk))ᵀ;  o = Mᵀ q / √keyDim, for every token and value head. float32.
 * Result: outputs [S, T, valueHeads · valueDim] and the state after the last token. Yang, Kautz & Hatamizadeh 2024, eq. 10.
 *
 * @throws RangeError when the shapes do not fit each other
 */
export function gatedDelta(inputs: GatedDeltaInputs): { output: Value; state: Value } {
  const { query, key, value, decay, rate, state, keyHeads } = inputs;
  const [, valueHeads, keyDim, valueDim] = state.shape as number[];
  for (const input of [query, key, value, decay, rate, state]) requireDType("LinearAttention", input, ["float32"]);
  const [S, T] = query.shape;
  const expect = (input: Value, width: number) => {
    if (input.shape.join() === [S, T, width].join()) return;
    throw illegalShape("LinearAttention", input, `${formatShape([S!, T!, width])} for ${input.name}`, input.shape);
  };
  expect(query, keyHeads * keyDim!);
  expect(key, keyHeads * keyDim!);
  expect(value, valueHeads! * valueDim!);
  expect(decay, valueHeads!);
  expect(rate, valueHeads!);
  if (valueHeads! % keyHeads !== 0) {
    throw illegalShape("LinearAttention", state, `value heads that are a multiple of ${keyHeads}`, state.shape);
  }
  const [output, next] = query.graph.current.node(
    "LinearAttention",
    [query, key, value, state, decay, rate],
    [
      { dtype: "float32", shape: value.shape },
      { dtype: "float32", shape: state.shape },
    ],
    {
      domain: "com.microsoft",
      attributes: {
        q_num_heads: { int: keyHeads },
        kv_num_heads: { int: valueHeads! },
        update_rule: { string: "gated_delta" },
        scale: { float: 1 / Math.sqrt(keyDim!) },
      },
    },
  ) as [Value, Value];
  return { output, state: next };
}

/**
 * ln decay = scale · ln(1 + e^(decay + bias)) and rate = σ(rate), from projections [S, T, H] with bias and (negative) scale [H].
 * The elementary Softplus rounds differently at the end of an array than inside, so a token's bits would depend on its place.
 */
export function decayAndRate(inputs: { decay: Value; rate: Value; bias: Value; scale: Value }): {
  decay: Value;
  rate: Value;
} {
  const { decay, rate, bias, scale } = inputs;
  for (const input of [decay, rate, bias, scale]) requireDType("LinearAttentionGate", input, ["float32"]);
  const heads = decay.shape.at(-1)!;
  const fits = decay.shape.length === 3 && rate.shape.join() === decay.shape.join();
  if (!fits || bias.shape.join() !== `${heads}` || scale.shape.join() !== `${heads}`) {
    const found = [rate, bias, scale].map(({ shape }) => formatShape(shape)).join(", ");
    throw illegalShape(
      "LinearAttentionGate",
      decay,
      `[S, T, H], the same, [H] and [H]`,
      `${formatShape(decay.shape)}, ${found}`,
    );
  }
  const [logDecay, share] = decay.graph.current.node(
    "LinearAttentionGate",
    [decay, bias, scale, rate],
    [
      { dtype: "float32", shape: decay.shape },
      { dtype: "float32", shape: decay.shape },
    ],
    { domain: "com.microsoft" },
  ) as [Value, Value];
  return { decay: logDecay, rate: share };
}
