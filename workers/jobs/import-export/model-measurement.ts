/** What an import measures of a model on the calibration text, and how it makes sure that the files compute. */
import type { LogitCheck, PrecisionCheck } from "../../../domain/model.ts";
import { fieldProblem, isProblem } from "../../../domain/problem.ts";
import { crossEntropyNats } from "../../../engine/llm/cross-entropy.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { parameterCount } from "../../../engine/llm/parameters.ts";
import { checkLogits } from "../../../engine/llm/self-check.ts";
import { createNormCollector } from "../../calibration.ts";
import { calibrationText } from "../../calibration-text.ts";
import { openWorkerModel, type WorkerModel } from "../../open-models.ts";
import { type JobContext, stepOrStop } from "../handler.ts";

/** Tokens of the calibration text in one sequence: enough to be past the start, within any context. */
const SEQUENCE_TOKENS = 256;
/** The reference reads every weight once a token in plain loops: about a second a gigabyte. */
const CHECKED_TOKENS = 4;
const CHECKED_PARAMETERS = 2e9;
/** Reading the weights of a large model from a slow disk. */
const OPEN_DEADLINE_MS = 30 * 60 * 1000;

export interface Measured {
  readonly sizeBytes: number;
  readonly logitCheck: LogitCheck;
  /** null for a model in float32. */
  readonly precisionCheck: PrecisionCheck | null;
  readonly residualNorms: (number | null)[];
}

type Comparison = Pick<LogitCheck, "passed" | "relative_error" | "cache_error">;
const notCompared: Comparison = { passed: true, relative_error: null, cache_error: null };

/** `quantized`: the file of weights that the model is to run with; the folder's own are measured before it then. */
export async function measureModel(folder: string, quantized: string | null, context: JobContext): Promise<Measured> {
  const before = quantized ? await measureFloat32(folder, context) : null;
  return await withModel(folder, quantized, context, async (model, sequences) => {
    const residualNorms = await measureNorms(model, sequences, context);
    await stepOrStop(context);
    const nats = await finiteCrossEntropy(model, sequences);
    const comparison = quantized
      ? (before?.comparison ?? notCompared)
      : await compare(model, folder, sequences, context);
    const tokens = sequences.reduce((sum, ids) => sum + ids.length, 0);
    const precisionCheck = {
      tokens: sequences.reduce((sum, ids) => sum + Math.max(0, ids.length - 1), 0),
      cross_entropy_before_nats: before?.nats ?? null,
      cross_entropy_after_nats: nats,
      cross_entropy_change_nats: before ? nats - before.nats : null,
    };
    return {
      sizeBytes: model.sizeBytes,
      logitCheck: { tokens, cross_entropy_nats: nats, finite: true, ...comparison },
      precisionCheck: quantized ? precisionCheck : null,
      residualNorms,
    };
  });
}

/** null where the float32 weights do not fit: many a model is quantised for that reason. */
async function measureFloat32(
  folder: string,
  context: JobContext,
): Promise<{ nats: number; comparison: Comparison } | null> {
  try {
    return await withModel(folder, null, context, async (model, sequences) => ({
      nats: await finiteCrossEntropy(model, sequences),
      comparison: await compare(model, folder, sequences, context),
    }));
  } catch (error) {
    if (isProblem(error) && error.code === "MEMORY_INSUFFICIENT") return null;
    throw error;
  }
}

async function withModel<T>(
  folder: string,
  quantized: string | null,
  context: JobContext,
  use: (model: WorkerModel, sequences: readonly Int32Array[]) => Promise<T>,
): Promise<T> {
  await stepOrStop(context, OPEN_DEADLINE_MS);
  const model = await openWorkerModel(folder, context.settings, quantized);
  try {
    return await use(model, calibrationSequences(model));
  } finally {
    await model.close();
  }
}

async function finiteCrossEntropy(model: WorkerModel, sequences: readonly Int32Array[]): Promise<number> {
  const nats = await crossEntropyNats(model.language, sequences, null);
  if (Number.isFinite(nats)) return nats;
  const detail = "the model's logits on the calibration text are not finite: the weights hold NaN or infinities";
  throw fieldProblem("WEIGHTS_INVALID", "/source", detail);
}

/** The graph's logits against plain float64 loops over the same files: a wrong name, transpose or rope shows here. */
async function compare(
  model: WorkerModel,
  folder: string,
  sequences: readonly Int32Array[],
  context: JobContext,
): Promise<Comparison> {
  const { language } = model;
  if (parameterCount(language.config) > CHECKED_PARAMETERS) return notCompared;
  await stepOrStop(context, OPEN_DEADLINE_MS);
  const check = await checkLogits(language, folder, sequences[0]!.subarray(0, CHECKED_TOKENS));
  if (!check.passed)
    context.log.warn({ job: context.jobId, ...check }, "the model's logits disagree with the reference");
  return { passed: check.passed, relative_error: check.relativeError, cache_error: check.cacheError };
}

function calibrationSequences(model: WorkerModel): Int32Array[] {
  const longest = Math.min(SEQUENCE_TOKENS, model.language.config.contextLength);
  const { vocabulary } = model.language.config;
  return calibrationText.map((text) => {
    const ids = model.encode(text).subarray(0, longest);
    const beyond = ids.find((id) => id >= vocabulary);
    if (beyond === undefined) return ids;
    const detail = `the tokenizer gives id ${beyond}, the model has a vocabulary of ${vocabulary}: they do not belong together`;
    throw fieldProblem("MODEL_UNSUPPORTED", "/source", detail);
  });
}

async function measureNorms(
  model: WorkerModel,
  sequences: readonly Int32Array[],
  context: JobContext,
): Promise<(number | null)[]> {
  const { dModel, layers } = model.language.config;
  const all = Array.from({ length: layers }, (_, layer) => layer);
  const collectors = all.map(() => createNormCollector());
  for await (const batch of harvest(model.language, sequences, { layers: all })) {
    for (const layer of all) collectors[layer]!.add(batch.activations[layer]!, batch.position, dModel);
    await stepOrStop(context);
  }
  return collectors.map((collector) => collector.median());
}
