/** An sae on its way between the artifact store and memory: always a SAELens folder, whatever it came as. */
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { newId } from "../domain/id.ts";
import type { SparseAutoencoder } from "../engine/sae/architecture.ts";
import type { SaeReader } from "../engine/sae/layouts/sae-reader.ts";
import { writeSaelens } from "../engine/sae/layouts/saelens.ts";
import { encodeStatistics, type FeatureStatistics, statisticsFile } from "./feature-statistics.ts";
import type { JobContext } from "./jobs/handler.ts";
import type { ProducedArtifact } from "./protocol.ts";

const binary = "application/octet-stream";

export const saelensFiles = { config: "cfg.json", weights: "sae_weights.safetensors" } as const;

export interface StoredSae {
  readonly artifacts: readonly ProducedArtifact[];
  readonly weightsArtifactId: string;
  readonly configArtifactId: string;
  readonly statisticsArtifactId: string | null;
  /** sha256 of the weights file. */
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface SaeToStore {
  readonly sae: SparseAutoencoder | SaeReader;
  readonly modelName: string;
  readonly layer: number;
  readonly statistics: FeatureStatistics | null;
  /** What the numbers are stored in; float32 if absent. */
  readonly precision?: "float32" | "bfloat16";
}

/** Writes the sae as SAELens files, puts them into the store, and names them `{prefix}/cfg.json` and so on. */
export async function storeSae(
  { sae, modelName, layer, statistics, precision = "float32" }: SaeToStore,
  prefix: string,
  context: Pick<JobContext, "scratch" | "blobs">,
  step?: (features: number) => Promise<void>,
): Promise<StoredSae> {
  const folder = await mkdtemp(join(context.scratch, "sae-"));
  try {
    await writeSaelens(folder, sae, { modelName, layer, dtype: precision, ...(step ? { step } : {}) });
    const store = async (name: string, contentType: string, content: Readable | Uint8Array) => {
      return { id: newId("artifact"), name: `${prefix}/${name}`, contentType, blob: await context.blobs.put(content) };
    };
    const read = (name: string) => createReadStream(join(folder, name));
    const config = await store(saelensFiles.config, "application/json", read(saelensFiles.config));
    const weights = await store(saelensFiles.weights, binary, read(saelensFiles.weights));
    const extra = statistics && (await store(statisticsFile, binary, encodeStatistics(statistics)));
    return {
      artifacts: extra ? [config, weights, extra] : [config, weights],
      statisticsArtifactId: extra?.id ?? null,
      configArtifactId: config.id,
      weightsArtifactId: weights.id,
      digest: weights.blob.digest,
      sizeBytes: weights.blob.sizeBytes,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Bytes in memory of an sae of these sizes: encoder, decoder and biases as float32. */
export function saeBytes(dModel: number, width: number): number {
  return 4 * (2 * dModel * width + width + dModel);
}
