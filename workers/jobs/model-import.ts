/**
 * model.import: checks a model's files against each other, takes their digest, runs the model on the calibration text,
 * and describes the row. A directory stays where it is; artifacts are laid out in the worker's cache when needed.
 */
import { newId } from "../../domain/id.ts";
import type { CreateModel, LogitCheck } from "../../domain/model.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { crossEntropyNats } from "../../engine/llm/cross-entropy.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { parameterCount } from "../../engine/llm/parameters.ts";
import { checkLogits } from "../../engine/llm/self-check.ts";
import { createNormCollector } from "../calibration.ts";
import { calibrationText } from "../calibration-text.ts";
import { listDigest } from "../files.ts";
import { hashFiles, readModelFiles } from "../model-files.ts";
import { openWorkerModel, type WorkerModel } from "../open-models.ts";
import { folderOfSource } from "../sources.ts";
import { type JobContext, type JobHandler, stepOrStop } from "./handler.ts";

/** Tokens of the calibration text in one sequence: enough to be past the start, within any context. */
const SEQUENCE_TOKENS = 256;
/** The reference reads every weight once a token in plain loops: about a second a gigabyte. */
const CHECKED_TOKENS = 4;
const CHECKED_PARAMETERS = 2e9;
/** Reading the weights of a large model from a slow disk. */
const OPEN_DEADLINE_MS = 30 * 60 * 1000;

export const modelImport: JobHandler<CreateModel> = async (input, context) => {
  if ((await context.catalog.taken("model", [input.name])).length > 0) {
    throw fieldProblem("NAME_TAKEN", "/name", `a model named ${input.name} exists`);
  }
  const source = await folderOfSource(input.source, context);
  const files = await readModelFiles(source.folder);
  const hashed = await hashFiles(source.folder, files.names, (done, total) => {
    context.progress({ done, total, unit: "bytes", rate: null, eta_s: null });
    return stepOrStop(context);
  });
  const measured = await measure(source.folder, context);

  const artifactIds = new Map(source.artifacts.map((file) => [file.path, file.artifactId]));
  const id = newId("model");
  const { config } = files;
  return {
    result: { model_id: id },
    models: [
      {
        id,
        name: input.name,
        family: config.family,
        layers: config.layers,
        dModel: config.dModel,
        vocabSize: config.vocabulary,
        contextLength: config.contextLength,
        precision: input.precision ?? "float32",
        digest: listDigest(hashed),
        sizeBytes: measured.sizeBytes,
        source: input.source,
        path: source.path,
        files: hashed.map(({ path, digest, sizeBytes }) => {
          const artifactId = artifactIds.get(path);
          return { path, digest, size_bytes: sizeBytes, ...(artifactId ? { artifact_id: artifactId } : {}) };
        }),
        stats: { logit_check: measured.logitCheck, median_residual_norm: measured.residualNorms },
        metadata: input.metadata ?? {},
      },
    ],
  };
};

interface Measured {
  readonly sizeBytes: number;
  readonly logitCheck: LogitCheck;
  readonly residualNorms: (number | null)[];
}

async function measure(folder: string, context: JobContext): Promise<Measured> {
  await stepOrStop(context, OPEN_DEADLINE_MS);
  const model = await openWorkerModel(folder, context.settings);
  try {
    const sequences = calibrationSequences(model);
    const residualNorms = await measureNorms(model, sequences, context);
    await stepOrStop(context);
    const nats = await crossEntropyNats(model.language, sequences, null);
    const tokens = sequences.reduce((sum, ids) => sum + ids.length, 0);
    if (!Number.isFinite(nats)) {
      const detail = "the model's logits on the calibration text are not finite: the weights hold NaN or infinities";
      throw fieldProblem("WEIGHTS_INVALID", "/source", detail);
    }
    const logitCheck = {
      tokens,
      cross_entropy_nats: nats,
      finite: true,
      ...(await compare(model, folder, sequences, context)),
    };
    return { sizeBytes: model.sizeBytes, logitCheck, residualNorms };
  } finally {
    await model.close();
  }
}

/** The graph's logits against plain float64 loops over the same files: a wrong name, transpose or rope shows here. */
async function compare(model: WorkerModel, folder: string, sequences: readonly Int32Array[], context: JobContext) {
  const { language } = model;
  if (parameterCount(language.config) > CHECKED_PARAMETERS) {
    return { passed: true, relative_error: null, cache_error: null };
  }
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
