/** Checkpoints of a training run: the trainer's state, and where the run stood beside it. */
import { Readable } from "node:stream";
import { Problem } from "../../../domain/problem.ts";
import { parseCheckpoint, serializeCheckpoint } from "../../../engine/sae/checkpoint.ts";
import type { Trainer, TrainerState } from "../../../engine/sae/trainer.ts";
import { bytesOf } from "../../bytes.ts";
import type { CheckpointPointer } from "../../protocol.ts";
import type { TokenPlace } from "../../token-order.ts";
import type { JobContext } from "../handler.ts";
import type { CurvePoint } from "./training-curve.ts";
import type { Recovery, TrainingRun } from "./training-run.ts";

/** What a checkpoint holds besides the trainer's state. */
interface Standing {
  readonly place: TokenPlace;
  readonly reads: number;
  readonly curve: readonly CurvePoint[];
  /** Products against weights that are being trained keep their bits only with one number of threads (ADR 7). */
  readonly threads: number;
  readonly recovery: Recovery;
}

export type SavedRun = Standing & { readonly state: TrainerState };

/** @throws Problem CHECKPOINT_MISMATCH for a state of another job, or one whose bits this machine would not continue. */
export async function loadCheckpoint(
  context: JobContext,
  pointer: CheckpointPointer,
  runtime: string,
): Promise<SavedRun> {
  const { state, about } = parseCheckpoint(await bytesOf(await context.blobs.get(pointer.digest)));
  if (about.job !== context.jobId) {
    throw new Problem("CHECKPOINT_MISMATCH", `the checkpoint was made by ${about.job}, this is ${context.jobId}`);
  }
  if (about.runtime !== runtime) {
    const detail = `the checkpoint was made with ${about.runtime}, this worker has ${runtime}: the rest would not be the same numbers`;
    throw new Problem("CHECKPOINT_MISMATCH", detail);
  }
  return { state, ...(JSON.parse(about.run ?? "") as Standing) };
}

export async function saveCheckpoint(run: TrainingRun): Promise<void> {
  const { place, reads, curve, threads, recovery } = run;
  const standing: Standing = { place, reads, curve: curve.points, threads, recovery };
  // A job's own number keeps the contents of equal jobs apart, as well as their states.
  const about = { run: JSON.stringify(standing), runtime: run.runtime, job: run.context.jobId };
  const parts = serializeCheckpoint(run.trainer.snapshot(), about);
  run.lastCheckpoint = await run.context.saveCheckpoint(Readable.from(parts), stepOf(run.trainer));
}

/** Steps made by the slowest of the saes. They differ by a batch at most: each filters its own rows. */
export function stepOf(trainer: Trainer): number {
  return Math.floor(trainer.progress.done / trainer.configs.length);
}
