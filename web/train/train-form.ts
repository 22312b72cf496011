// What the Train page's form holds, and the sae.train input it stands for. Everything else keeps the API's defaults.
import type { SaeTrainInput } from "../../domain/training.ts";

export type Architecture = NonNullable<SaeTrainInput["architecture"]>;

export interface TrainForm {
  readonly name: string;
  readonly modelId: string;
  readonly datasetId: string;
  readonly layers: readonly number[];
  readonly architecture: Architecture;
  readonly width: number;
  readonly k: number;
  readonly tokens: number;
  readonly batchTokens: number;
  readonly seed: number;
}

export const emptyTraining: TrainForm = {
  name: "",
  modelId: "",
  datasetId: "",
  layers: [],
  architecture: "topk",
  width: 2048,
  k: 24,
  tokens: 200_000,
  batchTokens: 1024,
  seed: 0,
};

export const architectureWords: Readonly<Record<Architecture, string>> = {
  topk: "TopK: the k strongest of every token",
  batch_topk: "BatchTopK: k per token on average",
  jumprelu: "JumpReLU: a learned threshold per feature",
  matryoshka_topk: "Matryoshka TopK: nested dictionaries",
};

/** What stands in the way of an estimate, or null. */
export function missingFromTraining(form: TrainForm): string | null {
  if (form.modelId === "") return "Choose a model.";
  if (form.datasetId === "") return "Choose a dataset.";
  if (form.layers.length === 0) return "Choose a layer.";
  const counts = [form.width, form.k, form.tokens, form.batchTokens];
  return counts.every((count) => Number.isInteger(count) && count > 0)
    ? null
    : "Width, k and tokens are whole numbers.";
}

export function trainInput(form: TrainForm): SaeTrainInput {
  return {
    ...(form.name.trim() === "" ? {} : { name: form.name.trim() }),
    model_id: form.modelId,
    dataset_id: form.datasetId,
    layers: [...form.layers],
    architecture: form.architecture,
    width: form.width,
    k: form.k,
    tokens: form.tokens,
    batch_tokens: form.batchTokens,
    seed: form.seed,
  };
}
