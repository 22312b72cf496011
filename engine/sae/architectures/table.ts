// Every architecture in one table: how its loss is computed and what the finished sae's rule is. One more is a file and a row.

import type { ActivationRule } from "../architecture.ts";
import { createAuxLoss } from "../aux-loss.ts";
import type { TrainingConfig } from "../config.ts";
import { zeroTensors } from "../kernels/memory.ts";
import { createSparseWorkspace } from "../sparse-workspace.ts";
import type { GradientWorkspace, RunsOn, Selector } from "../workspace.ts";
import { batchTopKRule, openBatchTopK, type RunningThreshold } from "./batch-topk.ts";
import { jumpReluRule, openJumpRelu } from "./jumprelu.ts";
import type { ArchitectureName } from "./names.ts";
import { openTopK } from "./topk.ts";

/** What training has learned besides the four tensors, in units of the activations divided by the input scale. */
export interface Thresholds {
  /** Of jumprelu, learned. */
  readonly threshold_F: Float32Array | null;
  /** Of batch_topk, observed. */
  readonly running: RunningThreshold;
}

export interface Architecture {
  /** Whether a threshold per feature is learned. */
  readonly learnsThresholds: boolean;
  open(config: TrainingConfig, runsOn: RunsOn): Promise<GradientWorkspace>;
  /** The rule for activations as they are; `inputScale` is what they were divided by. */
  rule(config: TrainingConfig, thresholds: Thresholds, inputScale: number): ActivationRule;
}

const topKRule: Architecture["rule"] = ({ k }) => ({ kind: "topk", k });

export const architectures: Readonly<Record<ArchitectureName, Architecture>> = {
  topk: {
    learnsThresholds: false,
    open: (config, runsOn) => sparse(config, runsOn, openTopK),
    rule: topKRule,
  },
  batch_topk: {
    learnsThresholds: false,
    open: (config, runsOn) => sparse(config, runsOn, openBatchTopK),
    rule: ({ width }, { running }, inputScale) => batchTopKRule(width, running, inputScale),
  },
  jumprelu: {
    learnsThresholds: true,
    open: (config, runsOn) => openJumpRelu(config, config.bandwidth, runsOn, partsOf(config, runsOn)),
    rule: (_, { threshold_F }, inputScale) => jumpReluRule(threshold_F!, inputScale),
  },
  matryoshka_topk: {
    learnsThresholds: false,
    open: (config, runsOn) => sparse(config, runsOn, openTopK),
    rule: topKRule,
  },
};

const partsOf = (config: TrainingConfig, runsOn: RunsOn) => ({
  gradients: zeroTensors(config.dModel, config.width, "gradients"),
  aux: createAuxLoss(config, runsOn),
});

type OpenSelector = (shape: TrainingConfig, runsOn: RunsOn) => Promise<Selector>;

async function sparse(config: TrainingConfig, runsOn: RunsOn, open: OpenSelector): Promise<GradientWorkspace> {
  // A selector makes room for the most features that a step may ask for.
  const shape = { ...config, k: config.kStart };
  const aux = createAuxLoss(config, runsOn);
  return createSparseWorkspace(shape, runsOn, {
    selector: await open(shape, runsOn),
    aux,
    prefixEnds: config.prefixes,
  });
}
