/** One sae of an import, opened where it lies and checked against the model and the request. */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fieldProblem, Problem } from "../../../domain/problem.ts";
import { releaseOfPath } from "../../../domain/qwen-scope-name.ts";
import type { CreateSae, PlannedImport } from "../../../domain/sae.ts";
import { openQwenScope } from "../../../engine/sae/layouts/qwen-scope.ts";
import type { OpenedLayout } from "../../../engine/sae/layouts/sae-reader.ts";
import { openSaelens } from "../../../engine/sae/layouts/saelens.ts";
import { openSparsify } from "../../../engine/sae/layouts/sparsify.ts";
import { SafetensorsError } from "../../../formats/safetensors.ts";
import { TorchArchiveError } from "../../../formats/torch-archive.ts";
import { type FeatureStatistics, parseStatistics, statisticsFile } from "../../feature-statistics.ts";
import type { ModelRow } from "../../records.ts";
import type { SaePlace } from "../../sae-places.ts";

/** The input with its layout decided. */
export type SaeImport = CreateSae & Required<Pick<CreateSae, "layout">>;

export interface OpenImport extends PlannedImport, OpenedLayout {
  readonly place: SaePlace;
  readonly statistics: FeatureStatistics | null;
}

/** Close its reader. */
export async function openImport(
  planned: PlannedImport,
  place: SaePlace,
  model: ModelRow,
  input: SaeImport,
): Promise<OpenImport> {
  const opened = await open(place, input);
  try {
    const statistics = input.layout === "saelens" ? await readStatistics(place.path, opened.reader.width) : null;
    const found = { ...planned, ...opened, place, statistics };
    check(found, model, input);
    return found;
  } catch (error) {
    await opened.reader.close();
    throw error;
  }
}

async function open(place: SaePlace, input: SaeImport): Promise<OpenedLayout> {
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
export async function refusing<T>(place: SaePlace, work: () => Promise<T>): Promise<T> {
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

function check({ reader, origin, place, layer }: OpenImport, model: ModelRow, input: SaeImport): void {
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
