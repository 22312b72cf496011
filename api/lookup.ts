// Finding what a request names: by id or by name, in the caller's workspace only.
import { type IdKind, isId } from "../domain/id.ts";
import { fieldProblem, Problem, type ProblemCode } from "../domain/problem.ts";
import type { Dataset, Model, Sae, Secret, Variant } from "../platform/database.ts";
import type { Platform } from "../platform/platform.ts";

function named(kind: IdKind, workspaceId: string, idOrName: string) {
  return { workspace_id: workspaceId, ...(isId(kind, idOrName) ? { id: idOrName } : { name: idOrName }) };
}

export async function findModel(platform: Platform, workspaceId: string, idOrName: string): Promise<Model | null> {
  return platform.db.model.findFirst({ where: named("model", workspaceId, idOrName) });
}

export async function findSae(platform: Platform, workspaceId: string, idOrName: string): Promise<Sae | null> {
  return platform.db.sae.findFirst({ where: named("sae", workspaceId, idOrName) });
}

export async function findDataset(platform: Platform, workspaceId: string, idOrName: string): Promise<Dataset | null> {
  return platform.db.dataset.findFirst({ where: named("dataset", workspaceId, idOrName) });
}

export async function findVariant(platform: Platform, workspaceId: string, idOrName: string): Promise<Variant | null> {
  return platform.db.variant.findFirst({ where: named("variant", workspaceId, idOrName) });
}

export async function findSecret(platform: Platform, workspaceId: string, idOrName: string): Promise<Secret | null> {
  return platform.db.secret.findFirst({ where: named("secret", workspaceId, idOrName) });
}

/** For a resource in the path: 404. */
export function found<T>(row: T | null, code: ProblemCode, given: string): T {
  if (row === null) throw new Problem(code, `There is no "${given}" in this workspace.`);
  return row;
}

/** For a resource that a field of the body names: 422 with a pointer to the field. */
export function referred<T>(row: T | null, noun: string, given: string, pointer: string): T {
  if (row === null) {
    throw fieldProblem("REFERENCE_NOT_FOUND", pointer, `there is no ${noun} "${given}" in this workspace`);
  }
  return row;
}
