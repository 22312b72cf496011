/**
 * model.import: checks a model's files against each other, takes their digest, rounds the weights where that is asked for, runs the
 * model on the calibration text, and describes the row. A directory stays where it is; artifacts are laid out in the worker's cache when needed.
 */
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { newId } from "../../../domain/id.ts";
import type { CreateModel } from "../../../domain/model.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import type { Source } from "../../../domain/source.ts";
import { findNotFinite } from "../../../engine/llm/finite-weights.ts";
import {
  type QuantizedPrecision,
  quantizedPrecisions,
  writeQuantizedWeights,
} from "../../../engine/llm/quantized-weights.ts";
import { listDigest } from "../../files.ts";
import { fetchModel, type HubModel } from "../../hub-model.ts";
import { hashFiles, type ModelFiles, openingProblem, readModelFiles } from "../../model-files.ts";
import type { ProducedArtifact } from "../../protocol.ts";
import { quantizedFile } from "../../records.ts";
import { folderOfSource, type SourceFolder } from "../../sources.ts";
import { type JobContext, type JobHandler, stepOrStop } from "../handler.ts";
import { measureModel } from "./model-measurement.ts";

export const modelImport: JobHandler<CreateModel> = async (input, context) => {
  if ((await context.catalog.taken("model", [input.name])).length > 0) {
    throw fieldProblem("NAME_TAKEN", "/name", `a model named ${input.name} exists`);
  }
  const { source, hub } = await openSource(input.source, context);
  const files = await readModelFiles(source.folder);
  const hashed = await hashFiles(source.folder, files.names, (done, total) => {
    context.progress({ done, total, unit: "bytes", rate: null, eta_s: null });
    return stepOrStop(context);
  });
  await expectFinite(files, context);
  const precision = quantizedPrecisions.find((one) => one === input.precision);
  const quantized = precision ? await quantize(source.folder, files, precision, context) : null;
  const measured = await measureModel(source.folder, quantized?.path ?? null, context);

  const kept = hub ? await hub.keep(hashed) : [];
  const artifactIds = new Map([
    ...source.artifacts.map((file) => [file.path, file.artifactId] as const),
    ...kept.map((file) => [file.path, file.id] as const),
  ]);
  const id = newId("model");
  const { config } = files;
  return {
    result: { model_id: id },
    artifacts: [...kept.map(({ path: _path, ...artifact }) => artifact), ...(quantized ? [quantized.artifact] : [])],
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
        quantizedArtifactId: quantized?.artifact.id ?? null,
        // Rounded weights are another model: saes, fingerprints and cached prefixes must not mix the two.
        digest: listDigest(
          quantized ? [...hashed, { path: quantizedFile, digest: quantized.artifact.blob.digest }] : hashed,
        ),
        sizeBytes: measured.sizeBytes,
        source: hub ? { ...input.source, commit: hub.commit } : input.source,
        path: source.path,
        files: hashed.map(({ path, digest, sizeBytes }) => {
          const artifactId = artifactIds.get(path);
          return { path, digest, size_bytes: sizeBytes, ...(artifactId ? { artifact_id: artifactId } : {}) };
        }),
        stats: {
          logit_check: measured.logitCheck,
          precision_check: measured.precisionCheck,
          median_residual_norm: measured.residualNorms,
        },
        metadata: input.metadata ?? {},
      },
    ],
  };
};

async function openSource(
  source: Source,
  context: JobContext,
): Promise<{ source: SourceFolder; hub: HubModel | null }> {
  if (source.type !== "hub") return { source: await folderOfSource(source, context), hub: null };
  const hub = await fetchModel(source, context);
  return { source: { folder: hub.folder, path: null, artifacts: [] }, hub };
}

/** Every weight is looked at: the calibration text shows only those that it uses. */
async function expectFinite({ weights }: ModelFiles, context: JobContext): Promise<void> {
  const found = await findNotFinite(weights, weights.tensors.keys(), () => stepOrStop(context));
  if (!found) return;
  const detail = `tensor ${found.name} holds NaN or an infinity, first at element ${found.index}`;
  throw fieldProblem("WEIGHTS_INVALID", "/source", detail);
}

/** The weights as integers, in a file of this run's and as an artifact that any worker can lay out; the folder stays as it is. */
async function quantize(
  folder: string,
  { config, weights }: ModelFiles,
  precision: QuantizedPrecision,
  context: JobContext,
): Promise<{ path: string; artifact: ProducedArtifact }> {
  const path = join(context.scratch, quantizedFile);
  const step = (done: number, total: number) => {
    context.progress({ done, total, unit: "weights", rate: null, eta_s: null });
    return stepOrStop(context);
  };
  await writeQuantizedWeights(config, weights, precision, path, step).catch((error) => {
    throw openingProblem(error, folder);
  });
  const blob = await context.blobs.put(createReadStream(path));
  const name = `weights-${precision}.safetensors`;
  return { path, artifact: { id: newId("artifact"), name, contentType: "application/octet-stream", blob } };
}
