// How the inference graph carries the delta nets' memory: a state and the last inputs of the convolution, per layer and sequence.

import type { Graph, Value } from "../onnx/graph.ts";
import { add, cast, less, mul } from "../ops/elementwise.ts";
import { decayAndRate, gatedDelta } from "../ops/gated-delta.ts";
import { gatherNd } from "../ops/indexing.ts";
import { concat, expand, range, unsqueeze } from "../ops/shape.ts";
import type { DeltaNet } from "./delta-net-config.ts";
import type { Recurrence } from "./recurrence.ts";

/** What a layer remembers, as the graph takes it and gives it back. */
export interface RecurrentMemory {
  /** [S, valueHeads, keyDim, valueDim] */
  readonly state: Value;
  /** [S, kernel − 1, channels] */
  readonly convolution: Value;
}

/** Where the real tokens of each sequence end: padding after them leaves the memory as it is. */
export interface RealTokens {
  /** [S, T, 1]: 1 at a real token, 0 at padding. */
  readonly real: Value;
  /** [S, kernel − 1, 2]: sequence and position of the last inputs of the convolution, among past and new ones. */
  readonly lastInputs: Value;
}

/** `lengths` [S] int64: new tokens of each sequence that are real. */
export function realTokens(graph: Graph, { kernel }: DeltaNet, lengths: Value): RealTokens {
  const inside = less(unsqueeze(range(graph, "T"), [0]), unsqueeze(lengths, [1]));
  const position = add(unsqueeze(lengths, [1]), unsqueeze(range(graph, kernel - 1), [0]));
  const sequence = expand(unsqueeze(range(graph, "S"), [1]), ["S", kernel - 1]);
  return {
    real: unsqueeze(cast(inside, "float32"), [2]),
    lastInputs: concat([unsqueeze(sequence, [2]), unsqueeze(position, [2])], 2),
  };
}

/** The recurrence of one layer; what it remembers afterwards is handed to `keep`: first the convolution's inputs, then the state. */
export function recurrenceFrom(
  past: RecurrentMemory,
  { real, lastInputs }: RealTokens,
  { keyHeads }: DeltaNet,
  keep: (value: Value) => void,
): Recurrence {
  return {
    gates: decayAndRate,
    withPast(mixed) {
      const all = concat([past.convolution, mixed], 1);
      keep(gatherNd(all, lastInputs));
      return all;
    },
    deltaRule({ query, key, value, decay, rate }) {
      // Neither forgotten (e⁰) nor written (0) at padding: the state stays as it is, to the last bit.
      const masked = { decay: mul(decay, real), rate: mul(rate, real) };
      const { output, state } = gatedDelta({ query, key, value, ...masked, state: past.state, keyHeads });
      keep(state);
      return output;
    },
  };
}
