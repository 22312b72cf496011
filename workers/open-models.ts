/** Models and saes of the database, open in this process. Everything that computes gets them here, on a lease. */
import { join } from "node:path";
import { type LanguageModel, openModel } from "../engine/llm/model.ts";
import { readSaelens } from "../engine/sae/layouts/saelens.ts";
import { type OpenedSae, openSae } from "../engine/sae/open-sae.ts";
import { bytesOf } from "./bytes.ts";
import { type FeatureStatistics, parseStatistics, statisticsFile } from "./feature-statistics.ts";
import { folderOf, layOut, listDigest } from "./files.ts";
import type { HandlerSettings, JobContext } from "./jobs/handler.ts";
import { expectUnchanged, openingProblem } from "./model-files.ts";
import type { ModelRow, SaeRow } from "./records.ts";
import type { Lease, Resident } from "./residency.ts";
import { runtimeName } from "./runtime-name.ts";
import { saeBytes } from "./sae-files.ts";

export interface WorkerModel extends Resident {
  readonly language: LanguageModel;
  /**
   * The ids of a text as the model saw texts in training: with the special tokens its tokenizer adds.
   *
   * @throws Problem MODEL_UNSUPPORTED when the tokenizer's patterns do not end on it
   */
  encode(text: string): Int32Array;
  /** The ids of a text that has its special tokens written out. */
  encodeRendered(text: string): Int32Array;
  /** Names runtime, version and device: part of every fingerprint. */
  readonly runtime: string;
  /** Called when the model is closed. */
  whenClosed(forget: () => void): void;
}

export interface WorkerSae extends Resident {
  readonly opened: OpenedSae;
  readonly statistics: FeatureStatistics | null;
}

type Opener = Pick<JobContext, "residency" | "blobs"> & { readonly settings: HandlerSettings };

export async function useModel({ residency, blobs, settings }: Opener, row: ModelRow): Promise<Lease<WorkerModel>> {
  return await residency.use(`model ${row.digest}`, row.sizeBytes, async () => {
    const folder = await folderOf(row.source, blobs, settings.cacheFolder);
    await expectUnchanged(folder, row.source.files);
    const quantized = row.quantized
      ? join(await layOut([row.quantized], blobs, settings.cacheFolder), row.quantized.path)
      : null;
    return await openWorkerModel(folder, settings, quantized);
  });
}

/** `quantized`: the file of weights that take the place of some of the folder's. */
export async function openWorkerModel(
  folder: string,
  settings: HandlerSettings,
  quantized: string | null = null,
): Promise<WorkerModel> {
  const { device, threads, memoryBytes } = settings;
  const options = { device, threads, maxBytes: memoryBytes, ...(quantized ? { quantized } : {}) };
  const language = await openModel(folder, options).catch((error) => {
    throw openingProblem(error, folder);
  });
  const encode = (text: string, addSpecial: boolean) => {
    try {
      return Int32Array.from(language.tokenizer.encode(text, { addSpecial }));
    } catch (error) {
      throw openingProblem(error, folder);
    }
  };
  const users: (() => void)[] = [];
  return {
    language,
    sizeBytes: language.sizeBytes,
    runtime: runtimeName(device),
    encode: (text) => encode(text, true),
    encodeRendered: (text) => encode(text, false),
    whenClosed: (forget) => users.push(forget),
    async close() {
      for (const forget of users) forget();
      await language.close();
    },
  };
}

export async function useSae({ residency, blobs, settings }: Opener, row: SaeRow): Promise<Lease<WorkerSae>> {
  const sizeBytes = saeBytes(row.dModel, row.width);
  // Of all files: saes of equal weights may differ in k, and in what is known of their features.
  return await residency.use(`sae ${listDigest(row.files)}`, sizeBytes, async () => {
    const folder = await layOut(row.files, blobs, settings.cacheFolder);
    const { sae } = await readSaelens(folder);
    const opened = await openSae(sae, { threads: settings.threads });
    const file = row.files.find(({ path }) => path === statisticsFile);
    const statistics = file ? parseStatistics(await bytesOf(await blobs.get(file.digest)), row.width) : null;
    return { opened, statistics, sizeBytes, close: () => opened.close() };
  });
}
