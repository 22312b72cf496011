/** A model of the hub: only the files that make one up, configuration first, so that what cannot be read is not downloaded. */
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "../domain/id.ts";
import { fieldProblem } from "../domain/problem.ts";
import type { HubSource } from "../domain/source.ts";
import { type HashedFile, keepFolder } from "./files.ts";
import { checkOut } from "./hub-checkout.ts";
import { type JobContext, stepOrStop } from "./jobs/handler.ts";
import { modelFileNames, readConfig } from "./model-files.ts";
import type { ProducedArtifact } from "./protocol.ts";

const wholeWeights = "model.safetensors";
const weightsIndex = "model.safetensors.index.json";

export interface HubModel {
  readonly folder: string;
  readonly commit: string;
  /** The files as artifacts, from which every worker lays them out; here they lie already. */
  keep(files: readonly HashedFile[]): Promise<readonly (ProducedArtifact & { readonly path: string })[]>;
}

export async function fetchModel(source: HubSource, context: JobContext): Promise<HubModel> {
  const checkout = await checkOut(source, context);
  const present = new Map(checkout.files.map((file) => [file.path, file]));
  const pick = (names: readonly string[]) => names.flatMap((name) => present.get(name) ?? []);
  const described = pick(modelFileNames);
  await checkout.fetch(described);
  if (present.has("config.json")) await readConfig(checkout.folder);
  const shards = present.has(weightsIndex) ? await shardsOf(join(checkout.folder, weightsIndex)) : [];
  const weights = present.has(wholeWeights) ? [wholeWeights] : shards;
  const lost = weights.find((name) => !present.has(name));
  if (lost !== undefined) throw fieldProblem("FILE_NOT_FOUND", "/source/repo", `${lost} is missing in ${source.repo}`);
  await checkout.plan(pick(weights));
  await checkout.fetch(pick(weights));
  return {
    folder: checkout.folder,
    commit: checkout.commit,
    async keep(files) {
      const artifacts = [];
      for (const { path } of files) {
        const blob = await context.blobs.put(createReadStream(join(checkout.folder, path)));
        const contentType = path.endsWith(".json") ? "application/json" : "application/octet-stream";
        artifacts.push({ id: newId("artifact"), name: path, path, contentType, blob });
        await stepOrStop(context);
      }
      await keepFolder(checkout.folder, files, context.settings.cacheFolder);
      await checkout.drop([...described, ...pick(weights)]);
      return artifacts;
    },
  };
}

async function shardsOf(indexPath: string): Promise<string[]> {
  try {
    const { weight_map } = JSON.parse(await readFile(indexPath, "utf8")) as { weight_map: Record<string, string> };
    return [...new Set(Object.values(weight_map))];
  } catch (error) {
    throw fieldProblem("WEIGHTS_INVALID", "/source/repo", `${weightsIndex}: ${(error as Error).message}`);
  }
}
