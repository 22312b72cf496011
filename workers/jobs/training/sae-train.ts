/**
 * sae.train: the saes of some layers from one forward pass. The model reads whole sequences in an order that the seed
 * decides; the trainer filters, mixes and learns. A checkpoint is taken between two batches of sequences and holds all
 * that the rest of the run depends on, so that a resumed run ends with the same bits as an undisturbed one.
 */

import { join } from "node:path";
import { fieldProblem } from "../../../domain/problem.ts";
import type { SaeTrainSettings } from "../../../domain/training.ts";
import { plannedSaes } from "../../../domain/training-laws.ts";
import { checkShards, modelSource, readManifest, shardSource } from "../../activation-source.ts";
import { useModel } from "../../open-models.ts";
import { openSampleFile } from "../../sample-file.ts";
import { createTokenOrder, type TokenOrder } from "../../token-order.ts";
import type { JobContext, JobHandler } from "../handler.ts";
import { finishedOutput, saePrefix } from "./sae-train-report.ts";
import { startRun, train } from "./training-loop.ts";

export const saeTrain: JobHandler<SaeTrainSettings> = async (settings, context) => {
  const row = await context.catalog.model(settings.model_id);
  const dataset = await context.catalog.dataset(settings.dataset_id);
  await expectFreeNames(settings, context);
  const manifest = settings.activations_id === undefined ? null : await readManifest(context, settings.activations_id);
  if (manifest) await checkShards(manifest, context);
  const samples = await openSampleFile(context.blobs, dataset.digest, join(context.scratch, "samples.jsonl"));
  const lease = await useModel(context, row);
  try {
    const model = lease.value;
    const order = createTokenOrder({
      samples,
      encode: (text) => model.encode(text),
      contextLength: Math.min(settings.context_tokens, row.context),
      // Whoever harvested decided which samples are held out.
      seed: manifest?.seed ?? settings.seed,
      heldOutFraction: settings.holdout_fraction,
    });
    await expectHeldOut(order);
    const { layers } = settings;
    const source = manifest ? shardSource(manifest, layers, context) : modelSource(model.language, order, { layers });
    const { dModel } = model.language.config;
    const run = await startRun(settings, context, { dModel, runtime: model.runtime });
    try {
      await train(run, source);
      return await finishedOutput({ ...run, model, row, dataset, order });
    } finally {
      await run.trainer.close();
    }
  } finally {
    lease.release();
    await samples.close();
  }
};

/** Hours before the end, where the commit would find out as well. */
async function expectFreeNames(settings: SaeTrainSettings, context: JobContext): Promise<void> {
  const names = plannedSaes(settings).map((sae) => `${saePrefix({ settings, context })}${sae.suffix}`);
  const [taken] = await context.catalog.taken("sae", names);
  if (taken !== undefined) throw fieldProblem("NAME_TAKEN", "/input/name", `an sae named ${taken} exists`);
}

/** Before hours of training, not after them: without held-out rows nothing can be measured. */
async function expectHeldOut(order: TokenOrder): Promise<void> {
  for await (const _ of order.heldOut()) return;
  const detail =
    "no held-out sample has two tokens or more; the dataset needs two samples at least, one of them held out";
  throw fieldProblem("DATASET_TOO_SMALL", "/input/dataset_id", detail);
}
