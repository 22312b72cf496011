// The knobs of training with unit, default and source. The page of numerics repeats this table.

import type { TrainingConfig } from "./config.ts";

interface Knob {
  readonly unit: string;
  readonly default: string;
  readonly meaning: string;
  readonly source: string;
}

export const knobs: Readonly<Record<keyof TrainingConfig, Knob>> = {
  architecture: {
    unit: "name",
    default: "topk",
    meaning: "which features are active, and the loss: topk, batch_topk, jumprelu, matryoshka_topk",
    source: "Qwen-Scope §2: TopK",
  },
  layer: { unit: "index", default: "required", meaning: "tap `resid_post.{layer}`", source: "Qwen-Scope §2" },
  dModel: { unit: "numbers", default: "required", meaning: "width of the residual stream, D", source: "the model" },
  width: { unit: "features", default: "required", meaning: "F; Qwen-Scope uses 16 or 64 times D", source: "Table 1" },
  k: {
    unit: "features per row",
    default: "required",
    meaning: "K active; of batch_topk the mean over the batch, of jumprelu the target; Qwen-Scope: 50, 100",
    source: "Table 1",
  },
  kStart: {
    unit: "features per row",
    default: "k",
    meaning: "K of the first step, at least k; not of jumprelu",
    source: "dictionary_learning starts high, so that more features get gradients at first",
  },
  kAnnealSteps: {
    unit: "steps",
    default: "0",
    meaning: "K goes linearly from kStart to k over so many steps",
    source: "dictionary_learning, `k_anneal_steps`",
  },
  rows: {
    unit: "rows",
    default: "required",
    meaning: "rows (tokens) to learn from; sets the schedule",
    source: "Qwen-Scope: about 5·10⁸ by press reports",
  },
  seed: { unit: "number", default: "0", meaning: "decides initial weights and order of rows", source: "ours" },
  batchRows: { unit: "rows", default: "4096", meaning: "rows per optimiser step", source: "SAELens" },
  microBatchRows: {
    unit: "rows",
    default: "512, or the largest divisor of batchRows below",
    meaning: "rows per run of the graph; bounds memory, no effect on the objective",
    source: "measured at 1024 × 16384: peak 0.7, 0.8, 0.9, 1.2 GB at 128, 256, 512, 1024, processor time the same",
  },
  bufferRows: { unit: "rows", default: "16 batches", meaning: "size of the mixing buffer", source: "SAELens: 20" },
  learningRate: {
    unit: "per step",
    default: "2e-4/√(width/2¹⁴)",
    meaning: "peak rate",
    source: "Gao et al. 2024, fig. 3, as in sparsify",
  },
  warmupSteps: { unit: "steps", default: "5 %, at most 1000", meaning: "linear rise from 0", source: "sparsify: 1000" },
  decaySteps: { unit: "steps", default: "last 20 %", meaning: "linear fall to 0", source: "dictionary_learning" },
  beta1: {
    unit: "factor",
    default: "0.9; 0 for jumprelu",
    meaning: "Adam",
    source: "Gao et al. 2024, app. A; Rajamanoharan et al. 2024, app. J",
  },
  beta2: { unit: "factor", default: "0.999", meaning: "Adam", source: "Gao et al. 2024, app. A" },
  epsilon: { unit: "factor", default: "6.25e-10", meaning: "Adam", source: "Gao et al. 2024, app. A" },
  clipNorm: { unit: "‖gradient‖", default: "1", meaning: "global norm at most this", source: "SAELens" },
  auxCoefficient: {
    unit: "factor",
    default: "1/32; 0 for jumprelu",
    meaning: "weight of AuxK",
    source: "Qwen-Scope §2.2, Gao et al. 2024; JumpReLU has none",
  },
  auxK: {
    unit: "features per row",
    default: "512",
    meaning: "dead features per row in AuxK",
    source: "Gao et al. 2024",
  },
  deadAfterRows: {
    unit: "rows",
    default: "10⁷, at most rows/8",
    meaning: "a feature silent for this long is dead",
    source: "Gao et al. 2024; the cap lets short runs revive features at all",
  },
  normFactor: { unit: "× median", default: "10", meaning: "larger norms are left out", source: "Marks et al. 2024" },
  skipFirstPosition: { unit: "yes/no", default: "true", meaning: "leave out position 0", source: "Qwen-Scope §2.2" },
  scaleInput: {
    unit: "yes/no",
    default: "true",
    meaning: "train on x/s, s a power of two near the mean distance to the median; folded back exactly",
    source: "the rate and epsilon above are for rows of norm about 1 (Gao et al. 2024, app. A)",
  },
  medianRows: { unit: "rows", default: "8192", meaning: "rows for b_dec's geometric median", source: "ours" },
  decoderBiasStart: {
    unit: "name",
    default: "geometric_median",
    meaning: "b_dec at the start: geometric_median, mean or zero",
    source: "Gao et al. 2024, app. A",
  },
  tiedStart: {
    unit: "yes/no",
    default: "true",
    meaning: "the encoder starts as the decoder's transpose, else as unit rows of its own",
    source: "Gao et al. 2024, app. A",
  },
  spikeFactor: {
    unit: "× median",
    default: "10",
    meaning: "a batch whose fvu is above this multiple of the median of the last 64 stops the step; 0 never",
    source: "ours",
  },
  thresholdBeta: {
    unit: "factor",
    default: "0.99",
    meaning: "batch_topk: memory of the running threshold",
    source: "dictionary_learning: 0.999 from step 1000 on; shorter, so that runs of some hundred steps have one",
  },
  prefixes: {
    unit: "features",
    default: "1/32, 3/32, 7/32, 15/32 and all of the width",
    meaning: "matryoshka_topk: where the nested dictionaries end, the last at the width",
    source: "Bussmann et al. 2025; shares as in dictionary_learning",
  },
  startThreshold: {
    unit: "activation of rows of norm 1",
    default: "0.001",
    meaning: "jumprelu: θ at the start",
    source: "Rajamanoharan et al. 2024, app. J",
  },
  bandwidth: {
    unit: "activation of rows of norm 1",
    default: "0.001",
    meaning: "jumprelu: width ε of the band whose pre-activations move θ",
    source: "Rajamanoharan et al. 2024, app. J",
  },
  sparsityCoefficient: {
    unit: "factor",
    default: "1",
    meaning: "jumprelu: weight of (L0/k − 1)²",
    source: "Rajamanoharan et al. 2024, app. H; dictionary_learning: 1",
  },
  sparsityWarmupSteps: {
    unit: "steps",
    default: "10 %, at most 2000",
    meaning: "jumprelu: linear rise of that weight from 0",
    source: "dictionary_learning: 2000",
  },
};
