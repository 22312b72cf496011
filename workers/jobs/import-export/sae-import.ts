/**
 * sae.import: reads saes in the layouts that trainers write, from a folder or the hub, checks them against the model they are said
 * to belong to, and stores them in this project's own convention: what other conventions do to the input is folded into the
 * weights. A block of features is in memory at a time. After each layer a checkpoint: one that is stored is never made twice.
 */
import { newId } from "../../../domain/id.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import { type CreateSae, plannedImports } from "../../../domain/sae.ts";
import { bytesOf } from "../../bytes.ts";
import type { ProducedArtifact, ProducedSae } from "../../protocol.ts";
import type { ModelRow } from "../../records.ts";
import { storeSae } from "../../sae-files.ts";
import { type JobContext, type JobHandler, stepOrStop } from "../handler.ts";
import { type LayerSource, layersOfFolder, layersOfHub } from "./sae-layers.ts";
import { type OpenImport, refusing, type SaeImport } from "./sae-opening.ts";

interface Stored {
  readonly sae: ProducedSae;
  readonly artifacts: readonly ProducedArtifact[];
}

interface Progress {
  readonly releaseId: string;
  readonly stored: readonly Stored[];
}

export const saeImport: JobHandler<CreateSae> = async (given, context) => {
  const { layout } = given;
  if (layout === undefined) throw fieldProblem("VALIDATION_FAILED", "/layout", "is required");
  const input = { ...given, layout };
  const model = await context.catalog.model(input.model_id);
  const planned = plannedImports(input);
  const names = planned.map(({ name }) => name);
  const [taken] = await context.catalog.taken("sae", names);
  if (taken !== undefined) throw fieldProblem("NAME_TAKEN", "/name", `an sae named ${taken} exists`);
  for (const { layer } of planned) {
    if (layer < model.layers) continue;
    const detail = `layer ${layer} does not exist; ${model.name} has layers 0 to ${model.layers - 1}`;
    throw fieldProblem("LAYER_OUT_OF_RANGE", "/layer", detail);
  }
  let progress = await readProgress(context);
  const isStored = ({ layer }: { layer: number }) => progress.stored.some(({ sae }) => sae.layer === layer);
  const missing = planned.filter((one) => !isStored(one));
  const layers =
    input.source.type === "hub"
      ? await layersOfHub(input, input.source, missing, model, context)
      : await layersOfFolder(input, input.source, missing, model, context);
  try {
    for (const one of missing) {
      const opened = await layers.open(one);
      const stored = await storeLayer(opened, input, layers, progress.releaseId, model, context);
      await layers.done(one);
      progress = { ...progress, stored: [...progress.stored, stored] };
      if (one !== missing.at(-1)) await saveProgress(progress, context);
      await stepOrStop(context);
    }
  } finally {
    await layers.close();
  }
  const saes = progress.stored.map(({ sae }) => sae);
  const artifacts = progress.stored.flatMap((one) => one.artifacts);
  return { result: { sae_ids: saes.map(({ id }) => id) }, artifacts, saes };
};

async function readProgress({ checkpoint, blobs }: JobContext): Promise<Progress> {
  if (!checkpoint) return { releaseId: newId("release"), stored: [] };
  return JSON.parse(Buffer.from(await bytesOf(await blobs.get(checkpoint.digest))).toString("utf8")) as Progress;
}

async function saveProgress(progress: Progress, context: JobContext): Promise<void> {
  const blobs = progress.stored.flatMap(({ artifacts }) => artifacts.map(({ blob }) => blob));
  await context.saveCheckpoint(Buffer.from(JSON.stringify(progress)), progress.stored.length, blobs);
}

async function storeLayer(
  { layer, name, place, reader, origin, statistics }: OpenImport,
  input: SaeImport,
  layers: LayerSource,
  releaseId: string,
  model: ModelRow,
  context: JobContext,
): Promise<Stored> {
  const step = async (features: number) => {
    layers.progress(features);
    await stepOrStop(context);
  };
  const precision = input.precision ?? "float32";
  const toStore = { sae: reader, modelName: model.name, layer, statistics, precision };
  const stored = await refusing(place, () => storeSae(toStore, name, context, step));
  const sae = {
    ...{ id: newId("sae"), name, releaseId, modelId: model.id, layer },
    architecture: reader.rule.kind,
    width: reader.width,
    dModel: reader.dModel,
    k: reader.rule.kind === "topk" ? reader.rule.k : null,
    digest: stored.digest,
    sizeBytes: stored.sizeBytes,
    weightsArtifactId: stored.weightsArtifactId,
    configArtifactId: stored.configArtifactId,
    source: layers.source,
    config: {
      layout: input.layout,
      precision,
      hook_name: origin.hookName,
      model_name: origin.modelName,
      statistics_artifact_id: stored.statisticsArtifactId,
    },
    metrics: {},
    metadata: input.metadata ?? {},
  };
  return { sae, artifacts: stored.artifacts };
}
