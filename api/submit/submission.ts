// What the laws of a job's input need to know, and what they say about names.

import { realpath, stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { looksLikeId } from "../../domain/id.ts";
import type { JobKind } from "../../domain/job.ts";
import { holdsScope } from "../../domain/key.ts";
import { fieldProblem, Problem } from "../../domain/problem.ts";
import type { Source } from "../../domain/source.ts";
import type { Dataset, Model } from "../../platform/database.ts";
import type { Platform } from "../../platform/platform.ts";
import type { Caller } from "../context.ts";
import { findDataset, findModel, findSecret, referred } from "../lookup.ts";

export interface Submission {
  readonly platform: Platform;
  readonly caller: Caller;
  /** JSON pointer of the input in the request: "/input" on /v1/jobs, "" where the body is the input. */
  readonly at: string;
}

/** A job that does a part of another. */
export interface ChildJob {
  readonly kind: JobKind;
  readonly input: object;
}

/** The model that an input names by id or name, or a problem that points at `model_id`. */
export async function referredModel({ platform, caller, at }: Submission, idOrName: string): Promise<Model> {
  return referred(await findModel(platform, caller.workspaceId, idOrName), "model", idOrName, `${at}/model_id`);
}

/** The dataset that an input names by id or name, or a problem that points at `dataset_id`. */
export async function referredDataset({ platform, caller, at }: Submission, idOrName: string): Promise<Dataset> {
  const dataset = await findDataset(platform, caller.workspaceId, idOrName);
  return referred(dataset, "dataset", idOrName, `${at}/dataset_id`);
}

/** Of a secret the name is kept, in inputs and in what jobs leave: whoever reads those learns nothing by it. */
export async function checkSecret({ platform, caller }: Submission, name: string, pointer: string): Promise<void> {
  referred(await findSecret(platform, caller.workspaceId, name), "secret", name, pointer);
}

export type NamedNoun = "model" | "variant" | "sae" | "dataset";

/** The jobs that will give the name to something when they end. */
const importsOf: Readonly<Record<NamedNoun, JobKind | null>> = {
  model: "model.import",
  variant: "model.import",
  sae: "sae.import",
  dataset: null,
};

/** A name must be free now; two racing requests are settled by the unique index when the second one commits. */
export async function checkNameFree(submission: Submission, noun: NamedNoun, name: string): Promise<void> {
  const { platform, caller, at } = submission;
  const pointer = `${at}/name`;
  if (looksLikeId(name)) throw fieldProblem("VALIDATION_FAILED", pointer, "a name must not look like an id");
  const where = { workspace_id: caller.workspaceId, name };
  // A completion takes either as its `model`.
  const modelOrVariant = async () =>
    (await platform.db.model.findFirst({ where })) ?? (await platform.db.variant.findFirst({ where }));
  const holders = {
    model: modelOrVariant,
    variant: modelOrVariant,
    sae: () => platform.db.sae.findFirst({ where }),
    dataset: () => platform.db.dataset.findFirst({ where }),
  };
  const holder = await holders[noun]();
  if (holder !== null) throw nameTaken(pointer, noun, name, holder.id);
  const kind = importsOf[noun];
  if (kind === null) return;
  const job = await platform.db.job.findFirst({
    where: {
      workspace_id: caller.workspaceId,
      kind,
      state: { in: ["queued", "running"] },
      input: { path: ["name"], equals: name },
    },
  });
  if (job !== null) throw nameTaken(pointer, noun, name, job.id);
}

export function nameTaken(pointer: string, noun: string, name: string, holder: string): Problem {
  return fieldProblem("NAME_TAKEN", pointer, `the name "${name}" belongs to the ${noun} of ${holder}`);
}

/** Artifacts must be there; a directory needs the admin scope and must lie under a root of the operator. */
export async function checkSource(submission: Submission, source: Source): Promise<void> {
  const { platform, caller, at } = submission;
  if (source.type === "artifacts") {
    const seen = new Set<string>();
    for (const [index, file] of source.files.entries()) {
      const here = `${at}/source/files/${index}`;
      if (seen.has(file.path))
        throw fieldProblem("SETTINGS_CONTRADICTORY", `${here}/path`, `"${file.path}" is given twice`);
      seen.add(file.path);
      const artifact = await platform.artifacts.find(caller.workspaceId, file.artifact_id);
      referred(artifact, "artifact", file.artifact_id, `${here}/artifact_id`);
    }
    return;
  }
  if (source.type === "hub") {
    if (source.token_secret !== undefined)
      await checkSecret(submission, source.token_secret, `${at}/source/token_secret`);
    return;
  }
  if (!holdsScope(caller.scopes, "admin")) {
    throw new Problem("SCOPE_INSUFFICIENT", "A directory source needs a key with the scope admin.");
  }
  await checkUnderRoots(source.path, platform.config.MODEL_ROOTS, `${at}/source/path`);
}

/** The path as written and, where this process can see it, its real path must be below a root; then it must be there.
 *  The worker, which reads the files, checks both again: a cluster's API need not mount the models. */
async function checkUnderRoots(path: string, roots: readonly string[], pointer: string): Promise<void> {
  const real = async (given: string) => realpath(given).catch(() => null);
  const realRoots = (await Promise.all(roots.map(real))).filter((root) => root !== null);
  const isBelow = (candidate: string, among: readonly string[]) =>
    among.some((root) => candidate === root || candidate.startsWith(root.endsWith(sep) ? root : root + sep));
  const written = resolve(join(path));
  const found = await real(written);
  // Of a path that is not there, the part that is decides: a link could lead its rest to anywhere.
  const reached = found ?? (await nearestReal(written));
  const allowed = [...roots.map((root) => resolve(root)), ...realRoots];
  const isMounted = isBelow(reached, realRoots);
  if (!isBelow(written, allowed) || !(isMounted || (found === null && isAbove(reached, allowed)))) {
    const detail = `"${path}" is not below one of the operator's MODEL_ROOTS`;
    throw fieldProblem("PATH_OUTSIDE_ROOTS", pointer, detail);
  }
  if (isMounted && (found === null || !(await stat(found)).isDirectory())) {
    throw fieldProblem("FILE_NOT_FOUND", pointer, `"${path}" is not a directory that is there`);
  }
}

/** Whether a root that this process cannot see would lie below what it can see. */
function isAbove(reached: string, roots: readonly string[]): boolean {
  return roots.some((root) => root.startsWith(reached.endsWith(sep) ? reached : reached + sep));
}

async function nearestReal(path: string): Promise<string> {
  const found = await realpath(path).catch(() => null);
  return found ?? (path === dirname(path) ? path : await nearestReal(dirname(path)));
}
