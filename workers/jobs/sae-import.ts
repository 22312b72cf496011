/**
 * sae.import: reads saes in the layouts that trainers write, checks them against the model they are said to belong to, and
 * stores them in this project's own convention: what other conventions do to the input is folded into the weights. A
 * block of features is in memory at a time.
 */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { newId } from "../../domain/id.ts";
import { fieldProblem, Problem } from "../../domain/problem.ts";
import { releaseOfPath } from "../../domain/qwen-scope-name.ts";
import { type CreateSae, type PlannedImport, plannedImports } from "../../domain/sae.ts";
import { openQwenScope } from "../../engine/sae/layouts/qwen-scope.ts";
import type { OpenedLayout } from "../../engine/sae/layouts/sae-reader.ts";
import { openSaelens } from "../../engine/sae/layouts/saelens.ts";
import { openSparsify } from "../../engine/sae/layouts/sparsify.ts";
import { SafetensorsError } from "../../formats/safetensors.ts";
import { TorchArchiveError } from "../../formats/torch-archive.ts";
import { type FeatureStatistics, parseStatistics, statisticsFile } from "../feature-statistics.ts";
import { realDirectory } from "../files.ts";
import type { ProducedArtifact, ProducedSae } from "../protocol.ts";
import type { ModelRow } from "../records.ts";
import { storeSae } from "../sae-files.ts";
import { choosePlace, findPlaces, type SaePlace } from "../sae-places.ts";
import { folderOfSource } from "../sources.ts";
import { type JobContext, type JobHandler, stepOrStop } from "./handler.ts";
import { createProgressMeter } from "./progress.ts";

interface Import extends PlannedImport, OpenedLayout {
  readonly place: SaePlace;
}

export const saeImport: JobHandler<CreateSae> = async (input, context) => {
  const model = await context.catalog.model(input.model_id);
  const planned = plannedImports(input);
  const names = planned.map(({ name }) => name);
  const [taken] = await context.catalog.taken("sae", names);
  if (taken !== undefined) throw fieldProblem("NAME_TAKEN", "/name", `an sae named ${taken} exists`);
  const imports: Import[] = [];
  try {
    await openAll(input, planned, model, imports, context);
    return await storeAll(input, imports, model, context);
  } finally {
    for (const { reader } of imports) await reader.close();
  }
};

/** Every layer is found, opened and checked before the first is stored. */
async function openAll(
  input: CreateSae,
  planned: readonly PlannedImport[],
  model: ModelRow,
  imports: Import[],
  context: JobContext,
): Promise<void> {
  const { folder } = await folderOfSource(input.source, context);
  const enter = (path: string) =>
    input.source.type === "directory" ? realDirectory(path, context.settings.modelRoots) : Promise.resolve();
  const places = await findPlaces(folder, input.layout, enter);
  for (const one of planned) {
    if (one.layer >= model.layers) {
      const detail = `layer ${one.layer} does not exist; ${model.name} has layers 0 to ${model.layers - 1}`;
      throw fieldProblem("LAYER_OUT_OF_RANGE", "/layer", detail);
    }
    const place = await choosePlace(places, one.layer, input.layout);
    const other = imports.find((earlier) => earlier.place.path === place.path);
    if (other) {
      const detail = `the folder has one sae, the request says layers ${other.layer} and ${one.layer}`;
      throw fieldProblem("SETTINGS_CONTRADICTORY", "/layers", detail);
    }
    const opened = { ...one, place, ...(await open(place, input)) };
    imports.push(opened);
    check(opened, model, input);
    await stepOrStop(context);
  }
}

async function storeAll(input: CreateSae, imports: readonly Import[], model: ModelRow, context: JobContext) {
  const meter = createProgressMeter(
    imports.reduce((sum, { reader }) => sum + reader.width, 0),
    "features",
  );
  const releaseId = newId("release");
  const artifacts: ProducedArtifact[] = [];
  const saes: ProducedSae[] = [];
  let done = 0;
  for (const { layer, name, place, reader, origin } of imports) {
    const statistics = input.layout === "saelens" ? await readStatistics(place.path, reader.width) : null;
    const step = async (features: number) => {
      context.progress(meter.at(done + features));
      await stepOrStop(context);
    };
    const stored = await refusing(place, () =>
      storeSae({ sae: reader, modelName: model.name, layer, statistics }, name, context, step),
    );
    artifacts.push(...stored.artifacts);
    saes.push({
      ...{ id: newId("sae"), name, releaseId, modelId: model.id, layer },
      architecture: reader.rule.kind,
      width: reader.width,
      dModel: reader.dModel,
      k: reader.rule.kind === "topk" ? reader.rule.k : null,
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
    });
    await stepOrStop(context);
    done += reader.width;
  }
  return { result: { sae_ids: saes.map(({ id }) => id) }, artifacts, saes };
}

async function open(place: SaePlace, input: CreateSae): Promise<OpenedLayout> {
  return await refusing(place, async () => {
    if (input.layout === "saelens") return await openSaelens(place.path);
    if (input.layout === "sparsify") return await openSparsify(place.path);
    const given = input.source.type === "directory" ? input.source.path : "";
    const release = releaseOfPath(dirname(place.path)) ?? releaseOfPath(given);
    const k = input.k ?? release?.k;
    if (k === undefined) {
      const detail = "is required: no folder of the files is named SAE-Res-{backbone}-W{width}-L0_{k}";
      throw fieldProblem("VALIDATION_FAILED", "/k", detail);
    }
    if (release && release.k !== k) {
      throw fieldProblem("SETTINGS_CONTRADICTORY", "/k", `the folder's name says k ${release.k}, the request ${k}`);
    }
    return await openQwenScope(place.path, { k, width: release?.width ?? null });
  });
}

/** What the readers refuse, as a problem that does not tell where the service keeps its files. */
async function refusing<T>(place: SaePlace, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      const name = String((error as NodeJS.ErrnoException).path)
        .split("/")
        .at(-1);
      throw fieldProblem("FILE_NOT_FOUND", "/source", `${name} is missing`);
    }
    const refused =
      error instanceof RangeError || error instanceof SafetensorsError || error instanceof TorchArchiveError;
    if (!refused) throw error;
    const missing = /tensor "?([\w.]+)"? is missing/.exec(error.message);
    if (missing) throw fieldProblem("TENSOR_MISSING", "/source", `tensor ${missing[1]} is missing`);
    throw new Problem("WEIGHTS_INVALID", error.message.replaceAll(`${place.path}/`, "").replaceAll(place.path, ""), {
      errors: [{ pointer: "/source", detail: "the files are not an sae that can be read" }],
      cause: error,
    });
  }
}

/** Ours alone: present when the folder was written by this project. */
async function readStatistics(folder: string, width: number): Promise<FeatureStatistics | null> {
  const bytes = await readFile(`${folder}/${statisticsFile}`).catch(() => null);
  if (bytes === null) return null;
  try {
    return parseStatistics(bytes, width);
  } catch (error) {
    throw fieldProblem("WEIGHTS_INVALID", "/source", `${statisticsFile}: ${(error as Error).message}`);
  }
}

function check({ reader, origin, place, layer }: Import, model: ModelRow, input: CreateSae): void {
  if (reader.dModel !== model.dModel) {
    const detail = `the sae reads ${reader.dModel} numbers (d_in), ${model.name} has d_model ${model.dModel}`;
    throw fieldProblem("DIMENSION_MISMATCH", "/model_id", detail);
  }
  const said = origin.layer ?? place.layer;
  if (said !== null && said !== layer) {
    const where =
      origin.hookName === null
        ? "the folder's name says"
        : `${input.layout === "saelens" ? "cfg.json" : "the file's name"} says`;
    const detail = `${where} ${origin.hookName ?? `layer ${said}`}, the request says layer ${layer}`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", "/layer", detail);
  }
  if (origin.hookName !== null && origin.layer === null) {
    const detail = `${origin.hookName} is not the residual stream after a layer, the only place that saes are used at`;
    throw fieldProblem("WEIGHTS_INVALID", "/source", detail);
  }
  const { rule } = reader;
  if (input.k !== undefined && (rule.kind !== "topk" || rule.k !== input.k)) {
    const own = rule.kind === "topk" ? `k ${rule.k}` : `the rule ${rule.kind}`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", "/k", `the files say ${own}, the request k ${input.k}`);
  }
}
