// A mixture of experts as plain loops in float64: the oracle for the graphs.

import type { Experts } from "./experts-config.ts";
import { dot, linear, type Row, silu, type Weights } from "./reference-rows.ts";

/** x: one row per token, already normed. Each row is routed by itself; `prefix` is the layer's `mlp`. */
export async function referenceExperts(sizes: Experts, weights: Weights, prefix: string, x: Row[]): Promise<Row[]> {
  const scores = await linear(weights, `${prefix}.gate`, false, x);
  const routes = scores.map((row) => route(row, sizes));
  const out = x.map((row) => row.map(() => 0));
  for (let e = 0; e < sizes.count; e++) {
    const tokens = [...x.keys()].filter((t) => routes[t]!.has(e));
    if (tokens.length === 0) continue;
    const rows = tokens.map((t) => x[t]!);
    const results = await referenceFeedForward(weights, `${prefix}.experts.${e}`, false, rows);
    tokens.forEach((t, i) => {
      addTo(out[t]!, results[i]!, routes[t]!.get(e)!);
    });
  }
  if (sizes.sharedWidth === null) return out;
  const gate = Float64Array.from(await weights(`${prefix}.shared_expert_gate.weight`));
  const shared = await referenceFeedForward(weights, `${prefix}.shared_expert`, false, x);
  x.forEach((row, t) => {
    addTo(out[t]!, shared[t]!, 1 / (1 + Math.exp(-dot(row, gate))));
  });
  return out;
}

/** The weight of each expert that the token goes to. */
function route(scores: Row, { active, normalized }: Experts): Map<number, number> {
  const highest = Math.max(...scores);
  const exps = scores.map((score) => Math.exp(score - highest));
  const chosen = [...exps.keys()].sort((a, b) => exps[b]! - exps[a]! || a - b).slice(0, active);
  const total = (normalized ? chosen.map((e) => exps[e]!) : [...exps]).reduce((a, b) => a + b, 0);
  return new Map(chosen.map((e) => [e, exps[e]! / total]));
}

function addTo(out: Row, row: Row, factor: number): void {
  for (let i = 0; i < out.length; i++) out[i]! += factor * row[i]!;
}

/** down(silu(gate x) · up x) */
export async function referenceFeedForward(weights: Weights, prefix: string, bias: boolean, x: Row[]): Promise<Row[]> {
  const gate = await linear(weights, `${prefix}.gate_proj`, bias, x);
  const up = await linear(weights, `${prefix}.up_proj`, bias, x);
  const hidden = gate.map((row, t) => row.map((g, i) => silu(g) * up[t]![i]!));
  return linear(weights, `${prefix}.down_proj`, bias, hidden);
}
