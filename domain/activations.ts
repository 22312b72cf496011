// Harvested activations: what a model's residual stream was on a dataset, kept as shards that trainings can read.
import { type Static, Type } from "typebox";
import { fieldProblem } from "./problem.ts";
import { closed, IdOrName, oneOf } from "./schema.ts";
import { checkLayer, type ModelShape } from "./training-laws.ts";

export const activationTypes = ["float32", "float16", "bfloat16"] as const;

export const ActivationsHarvestInput = closed(
  {
    model_id: IdOrName,
    dataset_id: IdOrName,
    layers: Type.Array(Type.Integer({ minimum: 0 }), {
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
      description: "the taps resid_post.{layer}; the model runs once for all of them, up to the highest",
    }),
    tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1e12,
        description: "stops after the batch that reaches so many; one pass over the dataset if absent, and at most",
      }),
    ),
    context_tokens: Type.Optional(
      Type.Integer({ minimum: 8, maximum: 8192, default: 256, description: "tokens per sequence in the forward pass" }),
    ),
    seed: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        default: 0,
        description: "decides the order of the samples and which are held out, as the seed of a training does",
      }),
    ),
    holdout_fraction: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 0.5,
        default: 0.05,
        description: "of the samples: left out, for the metrics of trainings that read this",
      }),
    ),
    dtype: Type.Optional(
      oneOf(activationTypes, { default: "float32", description: "of the stored numbers; float32 loses nothing" }),
    ),
    shard_bytes: Type.Optional(
      Type.Integer({
        minimum: 65_536,
        maximum: 4_294_967_296,
        default: 268_435_456,
        description: "a shard ends with the batch that reaches this size, or after 4 minutes",
      }),
    ),
  },
  {
    title: "ActivationsHarvestInput",
    examples: [{ model_id: "demo-small", dataset_id: "demo-text", layers: [2, 3], dtype: "bfloat16" }],
  },
);
export type ActivationsHarvestInput = Static<typeof ActivationsHarvestInput>;

export type ActivationsHarvestSettings = Required<Omit<ActivationsHarvestInput, "tokens">> & { tokens?: number };

export const ActivationsHarvestResult = Type.Object(
  {
    activations_id: Type.String({ description: "the manifest's artifact: what `activations_id` of sae.train names" }),
    rows: Type.Integer({ description: "activations of each layer" }),
    shards: Type.Integer(),
  },
  { title: "ActivationsHarvestResult" },
);
export type ActivationsHarvestResult = Static<typeof ActivationsHarvestResult>;

const Reference = Type.Object({ id: Type.String(), name: Type.String(), digest: Type.String() });

/** The table of contents of a harvest. Each shard is a safetensors file that holds all layers of its rows. */
export const ActivationManifest = Type.Object(
  {
    object: Type.Literal("activations"),
    model: Reference,
    dataset: Reference,
    d_model: Type.Integer({ minimum: 1 }),
    layers: Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 }),
    dtype: oneOf(activationTypes),
    context_tokens: Type.Integer({ minimum: 1 }),
    seed: Type.Integer({ minimum: 0 }),
    holdout_fraction: Type.Number({ exclusiveMinimum: 0, maximum: 0.5 }),
    rows: Type.Integer({ minimum: 1 }),
    shards: Type.Array(
      Type.Object({
        artifact_id: Type.String(),
        digest: Type.String({ pattern: "^[0-9a-f]{64}$" }),
        rows: Type.Integer({ minimum: 1 }),
        size_bytes: Type.Integer({ minimum: 1 }),
      }),
      { minItems: 1 },
    ),
  },
  { title: "ActivationManifest" },
);
export type ActivationManifest = Static<typeof ActivationManifest>;

/** Checks the laws and writes the defaults. */
export function resolveActivationsHarvest(
  input: ActivationsHarvestInput,
  model: ModelShape,
  at = "/input",
): ActivationsHarvestSettings {
  input.layers.forEach((layer, index) => {
    checkLayer(layer, model.layers, `${at}/layers/${index}`);
  });
  return {
    ...input,
    context_tokens: Math.min(input.context_tokens ?? 256, model.contextLength),
    seed: input.seed ?? 0,
    holdout_fraction: input.holdout_fraction ?? 0.05,
    dtype: input.dtype ?? "float32",
    shard_bytes: input.shard_bytes ?? 2 ** 28,
  };
}

/** What a training asks of harvested activations. */
export interface ActivationsWanted {
  readonly modelDigest: string;
  readonly datasetDigest: string;
  readonly dModel: number;
  readonly layers: readonly number[];
}

/** Refuses activations of another model, another dataset, another width or without a layer. */
export function checkActivations(manifest: ActivationManifest, wanted: ActivationsWanted, at = "/input"): void {
  const pointer = `${at}/activations_id`;
  const refuse = (detail: string) => fieldProblem("ACTIVATIONS_MISMATCH", pointer, detail);
  if (manifest.model.digest !== wanted.modelDigest)
    throw refuse(`they are of the model "${manifest.model.name}" with other weights than model_id has`);
  if (manifest.dataset.digest !== wanted.datasetDigest)
    throw refuse(`they are of the dataset "${manifest.dataset.name}" with other samples than dataset_id has`);
  if (manifest.d_model !== wanted.dModel)
    throw refuse(`they are ${manifest.d_model} wide, the model's residual stream is ${wanted.dModel}`);
  wanted.layers.forEach((layer, index) => {
    if (manifest.layers.includes(layer)) return;
    const detail = `layer ${layer} was not harvested; the activations hold ${manifest.layers.join(", ")}`;
    throw fieldProblem("ACTIVATIONS_MISMATCH", `${at}/layers/${index}`, detail);
  });
}
