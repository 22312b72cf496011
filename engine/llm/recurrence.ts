// How a delta net reaches earlier positions: what differs between the graphs.

import type { Value } from "../onnx/graph.ts";

/** What the rule reads, all [S, T, …]: queries and keys of length 1 per key head, values, ln decay ≤ 0 and rate per value head. */
export interface DeltaRuleInputs {
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
  readonly decay: Value;
  readonly rate: Value;
}

/** Projections [S, T, valueHeads] of which the gates are made, and the parameters [valueHeads] of the decay. */
export interface DeltaGateInputs {
  readonly decay: Value;
  readonly rate: Value;
  readonly bias: Value;
  readonly scale: Value;
}

export interface Recurrence {
  /** ln decay = scale · ln(1 + e^(decay + bias)), rate = σ(rate). */
  readonly gates: (inputs: DeltaGateInputs) => Pick<DeltaRuleInputs, "decay" | "rate">;
  /** [S, T, channels] with the kernel − 1 positions before it in front: [S, kernel − 1 + T, channels]. */
  readonly withPast: (mixed: Value) => Value;
  /** What each position reads from the state, [S, T, valueHeads · valueDim]. */
  readonly deltaRule: (inputs: DeltaRuleInputs) => Value;
}
