/**
 * sae.import: reads a SAELens folder, checks it against the model it is said to belong to, and stores it in this
 * project's own convention: what other conventions do to the input is folded into the weights.
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "../../domain/id.ts";
import { fieldProblem, Problem } from "../../domain/problem.ts";
import type { CreateSae } from "../../domain/sae.ts";
import type { SparseAutoencoder } from "../../engine/sae/architecture.ts";
import type { SaeOrigin } from "../../engine/sae/layouts/sae-reader.ts";
import { readSaelens } from "../../engine/sae/layouts/saelens.ts";
import { SafetensorsError } from "../../formats/safetensors.ts";
import { type FeatureStatistics, parseStatistics, statisticsFile } from "../feature-statistics.ts";
import type { ModelRow } from "../records.ts";
import { saelensFiles, storeSae } from "../sae-files.ts";
import { folderOfSource } from "../sources.ts";
import { type JobHandler, stepOrStop } from "./handler.ts";

export const saeImport: JobHandler<CreateSae> = async (input, context) => {
  const model = await context.catalog.model(input.model_id);
  if ((await context.catalog.taken("sae", [input.name])).length > 0) {
    throw fieldProblem("NAME_TAKEN", "/name", `an sae named ${input.name} exists`);
  }
  if (input.layer >= model.layers) {
    const detail = `layer ${input.layer} does not exist; ${model.name} has layers 0 to ${model.layers - 1}`;
    throw fieldProblem("LAYER_OUT_OF_RANGE", "/layer", detail);
  }
  const source = await folderOfSource(input.source, context);
  const { sae, origin } = await read(source.folder);
  checkAgainstModel(sae, origin, input.layer, model);
  await stepOrStop(context);

  const statistics = await readStatistics(source.folder, sae.width);
  const stored = await storeSae({ sae, modelName: model.name, layer: input.layer, statistics }, input.name, context);
  await stepOrStop(context);
  const id = newId("sae");
  return {
    result: { sae_ids: [id] },
    artifacts: stored.artifacts,
    saes: [
      {
        id,
        name: input.name,
        releaseId: newId("release"),
        modelId: model.id,
        layer: input.layer,
        architecture: sae.rule.kind,
        width: sae.width,
        dModel: sae.dModel,
        k: sae.rule.kind === "topk" ? sae.rule.k : null,
        digest: stored.digest,
        sizeBytes: stored.sizeBytes,
        weightsArtifactId: stored.weightsArtifactId,
        configArtifactId: stored.configArtifactId,
        source: input.source,
        config: {
          layout: input.layout,
          hook_name: origin.hookName,
          model_name: origin.modelName,
          statistics_artifact_id: stored.statisticsArtifactId,
        },
        metrics: {},
        metadata: input.metadata ?? {},
      },
    ],
  };
};

async function read(folder: string): Promise<{ sae: SparseAutoencoder; origin: SaeOrigin }> {
  for (const name of Object.values(saelensFiles)) {
    const found = await stat(join(folder, name)).catch(() => null);
    if (!found) throw fieldProblem("FILE_NOT_FOUND", "/source", `${name} is missing`);
  }
  try {
    return await readSaelens(folder);
  } catch (error) {
    const refused = error instanceof RangeError || error instanceof SafetensorsError;
    if (!refused) throw error;
    const missing = /tensor "?(\w+)"? is missing/.exec(error.message);
    if (missing) throw fieldProblem("TENSOR_MISSING", "/source", `tensor ${missing[1]} is missing`);
    throw new Problem("WEIGHTS_INVALID", error.message.replaceAll(`${folder}/`, ""), {
      errors: [{ pointer: "/source", detail: "the files are not an sae that can be read" }],
      cause: error,
    });
  }
}

/** Ours alone: present when the folder was written by this project. */
async function readStatistics(folder: string, width: number): Promise<FeatureStatistics | null> {
  const bytes = await readFile(join(folder, statisticsFile)).catch(() => null);
  if (bytes === null) return null;
  try {
    return parseStatistics(bytes, width);
  } catch (error) {
    throw fieldProblem("WEIGHTS_INVALID", "/source", `${statisticsFile}: ${(error as Error).message}`);
  }
}

function checkAgainstModel(sae: SparseAutoencoder, origin: SaeOrigin, layer: number, model: ModelRow): void {
  if (sae.dModel !== model.dModel) {
    const detail = `the sae reads ${sae.dModel} numbers (d_in), ${model.name} has d_model ${model.dModel}`;
    throw fieldProblem("DIMENSION_MISMATCH", "/model_id", detail);
  }
  if (origin.layer !== null && origin.layer !== layer) {
    const detail = `cfg.json says ${origin.hookName}, the request says layer ${layer}`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", "/layer", detail);
  }
  if (origin.hookName !== null && origin.layer === null) {
    const detail = `${origin.hookName} is not the residual stream after a layer, the only place that saes are used at`;
    throw fieldProblem("WEIGHTS_INVALID", "/source", detail);
  }
}
