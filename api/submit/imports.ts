// Laws of model.import and sae.import.
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { releaseOfPath } from "../../domain/qwen-scope-name.ts";
import { releaseOfRepo } from "../../domain/released-suite.ts";
import { plannedImports } from "../../domain/sae.ts";
import type { Source } from "../../domain/source.ts";
import { checkLayer } from "../../domain/training-laws.ts";
import type { Model } from "../../platform/database.ts";
import { checkNameFree, checkSource, referredModel, type Submission } from "./submission.ts";

/** Of names in general (domain/schema.ts); a layer's number is added to those of several. */
const NAME_LENGTH = 100;

export async function resolveModelImport(submission: Submission, input: JobInput<"model.import">) {
  await checkNameFree(submission, "model", input.name);
  await checkSource(submission, input.source);
  return { precision: "float32" as const, ...input };
}

export async function resolveSaeImport(submission: Submission, input: JobInput<"sae.import">) {
  const { at } = submission;
  const model = await referredModel(submission, input.model_id);
  const planned = plannedImports(input, at);
  for (const { layer, name } of planned) {
    checkLayer(layer, model.layers, input.layer === undefined ? `${at}/layers` : `${at}/layer`);
    if (name.length > NAME_LENGTH)
      throw fieldProblem("VALIDATION_FAILED", `${at}/name`, `"${name}" is too long a name`);
    await checkNameFree(submission, "sae", name);
  }
  const layout = resolveLayout(input, at);
  if (layout === "qwen_scope") checkRelease(input, at);
  checkBackbone(input, model, at);
  await checkSource(submission, input.source);
  const layers = planned.map(({ layer }) => layer);
  return { ...input, layout, ...(input.layers === undefined ? {} : { layers }), model_id: model.id };
}

/** What a repository's name settles need not be said; what it contradicts is refused before anything is downloaded. */
function resolveLayout({ layout, source }: JobInput<"sae.import">, at: string) {
  const named = source.type === "hub" && releaseOfRepo(source.repo) !== null;
  const resolved = layout ?? (named ? "qwen_scope" : undefined);
  if (resolved !== undefined) return resolved;
  const detail = "is required: only a repository named SAE-Res-{backbone}-W{width}-L0_{k} says it by itself";
  throw fieldProblem("VALIDATION_FAILED", `${at}/layout`, detail);
}

/** Qwen-Scope's files do not say k: a name must, or the request, and not two different things. */
function checkRelease({ source, k }: JobInput<"sae.import">, at: string): void {
  const releases = namesOf(source)
    .map(releaseOfPath)
    .filter((release) => release !== null);
  const other = releases.find((release) => k !== undefined && release.k !== k);
  if (other) {
    const whose = source.type === "hub" ? "repository" : "folder";
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/k`, `the ${whose}'s name says k ${other.k}, the request ${k}`);
  }
  // A directory may be a link to one with such a name: only the worker sees that.
  if (k === undefined && releases.length === 0 && source.type !== "directory") {
    const whose = source.type === "hub" ? "the repository is not" : "no folder of the files is";
    const detail = `is required: ${whose} named SAE-Res-{backbone}-W{width}-L0_{k}`;
    throw fieldProblem("VALIDATION_FAILED", `${at}/k`, detail);
  }
}

function namesOf(source: Source): readonly string[] {
  if (source.type === "directory") return [source.path];
  return source.type === "hub" ? [source.repo] : source.files.map(({ path }) => path);
}

/** A release of the suite belongs to one backbone: a model of other sizes is another model. */
function checkBackbone({ source }: JobInput<"sae.import">, model: Model, at: string): void {
  const released = source.type === "hub" ? releaseOfRepo(source.repo)?.released : null;
  if (!released) return;
  const { repo, backbone, layers, d_model } = released;
  if (model.d_model === d_model && model.layers === layers) return;
  const detail = `${repo} was trained on ${backbone} (${layers} layers, d_model ${d_model}); ${model.name} has ${model.layers} layers and d_model ${model.d_model}`;
  throw fieldProblem("SAE_MODEL_MISMATCH", `${at}/model_id`, detail);
}
