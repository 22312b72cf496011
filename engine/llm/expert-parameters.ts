// The parameters of a mixture of experts, one expert after the other, however the checkpoint lays them out (expert-tensors.ts).

import type { Value } from "../onnx/graph.ts";
import type { Experts } from "./experts-config.ts";
import type { DenseWeights } from "./feed-forward.ts";
import type { Linear } from "./linear.ts";
import type { ParameterSpec } from "./parameter-spec.ts";

export interface ExpertWeights {
  readonly kind: "experts";
  /** [E, D] */
  readonly router: Linear;
  readonly experts: readonly DenseWeights[];
  /** What every token passes, and the [1, D] row whose sigmoid weighs it. */
  readonly shared: { readonly expert: DenseWeights; readonly gate: Linear } | null;
}

const projections = ["gate_proj", "up_proj", "down_proj"] as const;

export function expertSpecs({ count, width, sharedWidth }: Experts, dModel: number, prefix: string): ParameterSpec[] {
  const expert = (name: string, inner: number) =>
    projections.map(
      (projection): ParameterSpec => ({
        name: `${prefix}.${name}.${projection}.weight`,
        shape: projection === "down_proj" ? [dModel, inner] : [inner, dModel],
        kind: "matrix",
      }),
    );
  const row = (name: string, rows: number): ParameterSpec => ({
    name: `${prefix}.${name}.weight`,
    shape: [rows, dModel],
    kind: "router",
  });
  return [
    row("gate", count),
    ...Array.from({ length: count }, (_, e) => expert(`experts.${e}`, width)).flat(),
    ...(sharedWidth === null ? [] : [...expert("shared_expert", sharedWidth), row("shared_expert_gate", 1)]),
  ];
}

/** `at` gives the parameters of the layer's feed-forward by the rest of their names. */
export function expertWeights({ count, sharedWidth }: Experts, at: (name: string) => Value): ExpertWeights {
  const linear = (name: string): Linear => ({ weight: at(`${name}.weight`), bias: null });
  const expert = (name: string): DenseWeights => ({
    kind: "dense",
    gate: linear(`${name}.gate_proj`),
    up: linear(`${name}.up_proj`),
    down: linear(`${name}.down_proj`),
  });
  return {
    kind: "experts",
    router: linear("gate"),
    experts: Array.from({ length: count }, (_, e) => expert(`experts.${e}`)),
    shared: sharedWidth === null ? null : { expert: expert("shared_expert"), gate: linear("shared_expert_gate") },
  };
}
