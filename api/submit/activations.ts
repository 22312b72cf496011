// The harvested activations that a training names: their manifest, and whether they fit.
import { ActivationManifest, checkActivations } from "../../domain/activations.ts";
import { fieldProblem, isProblem } from "../../domain/problem.ts";
import { parse } from "../../domain/schema.ts";
import type { Dataset, Model } from "../../platform/database.ts";
import { referred } from "../lookup.ts";
import type { Submission } from "./submission.ts";

/** A manifest of a million shards is still smaller. */
const MANIFEST_MAX_BYTES = 256 * 2 ** 20;

interface Wanted {
  readonly model: Model;
  readonly dataset: Dataset;
  readonly layers: readonly number[];
}

/** The manifest, or a problem that points at `activations_id` or at the layer that was not harvested. */
export async function fittingActivations(
  submission: Submission,
  id: string,
  { model, dataset, layers }: Wanted,
): Promise<ActivationManifest> {
  const { platform, caller, at } = submission;
  const pointer = `${at}/activations_id`;
  const artifact = referred(await platform.artifacts.find(caller.workspaceId, id), "artifact", id, pointer);
  const manifest = await readManifest(submission, artifact, pointer);
  const wanted = { modelDigest: model.digest, datasetDigest: dataset.digest, dModel: model.d_model, layers };
  checkActivations(manifest, wanted, at);
  const shards = manifest.shards.map((shard) => shard.artifact_id);
  const there = await platform.db.artifact.findMany({
    where: { workspace_id: caller.workspaceId, id: { in: shards }, state: "visible" },
    select: { id: true },
  });
  const missing = shards.find((shard) => !there.some((one) => one.id === shard));
  if (missing !== undefined) throw fieldProblem("ACTIVATIONS_MISMATCH", pointer, `the shard ${missing} is not there`);
  return manifest;
}

async function readManifest(
  { platform, caller }: Submission,
  artifact: { readonly digest: string | null; readonly size_bytes: bigint },
  pointer: string,
): Promise<ActivationManifest> {
  const refuse = (why: string) =>
    fieldProblem(
      "ACTIVATIONS_MISMATCH",
      pointer,
      `the artifact is no manifest of activations.harvest (its activations_id): ${why}`,
    );
  if (artifact.digest === null || artifact.size_bytes > MANIFEST_MAX_BYTES) throw refuse("it is too large");
  const chunks: Uint8Array[] = [];
  for await (const chunk of await platform.store.get(caller.workspaceId, artifact.digest)) chunks.push(chunk);
  try {
    return parse(ActivationManifest, JSON.parse(Buffer.concat(chunks).toString("utf8")), "");
  } catch (error) {
    if (isProblem(error)) throw refuse(error.message);
    if (error instanceof SyntaxError) throw refuse("it is not JSON");
    throw error;
  }
}
