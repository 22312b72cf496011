/** Texts on which a feature is not active: windows of a dataset that the model and the sae are run over once, for all features. */
import { join } from "node:path";
import { harvest } from "../../../engine/llm/harvest.ts";
import { tokenTexts } from "../../../engine/llm/token-texts.ts";
import { createRandom, type Random } from "../../../engine/runtime/random.ts";
import { useModel, useSae, type WorkerModel, type WorkerSae } from "../../open-models.ts";
import type { SaeRow } from "../../records.ts";
import type { Lease } from "../../residency.ts";
import { openSampleFile } from "../../sample-file.ts";
import { type JobContext, stepOrStop } from "../handler.ts";

/** A feature that is active on a hundredth of the tokens spares about 300 of so many windows of 25. */
const WINDOWS = 400;
const SEQUENCE_TOKENS = 128;

export interface SilentTexts {
  /** Texts of these lengths in tokens, one after the other, from windows without the feature; fewer where it is too seldom silent. */
  of(feature: number, lengths: readonly number[], count: number, random: Random): string[];
}

interface Wanted {
  readonly saeId: string;
  readonly datasetId: string;
  readonly features: readonly number[];
  /** Of the longest window, in tokens. */
  readonly length: number;
  readonly seed: number;
}

export async function findSilentTexts(wanted: Wanted, context: JobContext): Promise<SilentTexts> {
  const sae = await context.catalog.sae(wanted.saeId);
  const modelRow = await context.catalog.model(sae.modelId);
  const leases: Lease<WorkerModel | WorkerSae>[] = [];
  try {
    const model = await useModel(context, modelRow);
    leases.push(model);
    const opened = await useSae(context, sae);
    leases.push(opened);
    const sequences = await drawSequences(wanted, model.value, context);
    const starts = drawStarts(sequences, wanted);
    const active = await findActive(
      wanted,
      sae,
      { model: model.value, opened: opened.value, sequences, starts },
      context,
    );
    const { tokenizer } = model.value.language;
    return {
      of(feature, lengths, count, random) {
        const loud = active.get(feature);
        const silent = sequences.map((_, i) => i).filter((i) => !loud?.has(i));
        return random
          .shuffle(silent)
          .slice(0, count)
          .map((i, n) => {
            const length = lengths[n % Math.max(1, lengths.length)] ?? wanted.length;
            const start = starts[i]!;
            const end = Math.min(sequences[i]!.length, start + Math.min(length, wanted.length));
            return tokenTexts(sequences[i]!.subarray(start, end), tokenizer).join("");
          });
      },
    };
  } finally {
    for (const lease of leases) lease.release();
  }
}

async function drawSequences(wanted: Wanted, model: WorkerModel, context: JobContext): Promise<Int32Array[]> {
  const { digest } = await context.catalog.dataset(wanted.datasetId);
  const file = await openSampleFile(context.blobs, digest, join(context.scratch, "silent.jsonl"));
  try {
    const order = createRandom(wanted.seed)
      .fork("silent samples")
      .shuffle(Int32Array.from({ length: file.count }, (_, i) => i));
    const most = Math.min(SEQUENCE_TOKENS, model.language.config.contextLength);
    const sequences: Int32Array[] = [];
    for (const sample of order) {
      const ids = model.encode((await file.read(sample)).text).subarray(0, most);
      // Position 0 says little of any text, so a window begins after it.
      if (ids.length >= 2) sequences.push(ids);
      if (sequences.length === WINDOWS) break;
      if (sequences.length % 100 === 0) await stepOrStop(context);
    }
    return sequences;
  } finally {
    await file.close();
  }
}

function drawStarts(sequences: readonly Int32Array[], { length, seed }: Wanted): number[] {
  const random = createRandom(seed).fork("silent windows");
  return sequences.map((ids) => 1 + random.int(Math.max(1, ids.length - length)));
}

interface Run {
  readonly model: WorkerModel;
  readonly opened: WorkerSae;
  readonly sequences: readonly Int32Array[];
  readonly starts: readonly number[];
}

/** By feature, the sequences in whose window it is active. */
async function findActive(
  { features, length }: Wanted,
  { layer }: SaeRow,
  { model, opened, sequences, starts }: Run,
  context: JobContext,
): Promise<ReadonlyMap<number, ReadonlySet<number>>> {
  const active = new Map(features.map((feature) => [feature, new Set<number>()]));
  for await (const batch of harvest(model.language, sequences, { layers: [layer] })) {
    await stepOrStop(context);
    const sparse = await opened.opened.encode(batch.activations[0]!);
    for (let row = 0; row < batch.rows; row++) {
      const sequence = batch.sequence[row]!;
      const place = batch.position[row]! - starts[sequence]!;
      if (place < 0 || place >= length) continue;
      for (let at = sparse.offsets[row]!; at < sparse.offsets[row + 1]!; at++)
        active.get(sparse.features[at]!)?.add(sequence);
    }
    await stepOrStop(context);
  }
  return active;
}
