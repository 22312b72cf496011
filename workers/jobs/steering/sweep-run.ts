/** The arms of a sweep, one wave of a full batch after the other: measured once, kept in the checkpoint, counted in the progress. */
import { isProblem } from "../../../domain/problem.ts";
import { bytesOf } from "../../bytes.ts";
import { type CheckpointClock, createCheckpointClock } from "../checkpoint-clock.ts";
import { type JobContext, Stopped } from "../handler.ts";
import { createProgressMeter, type ProgressMeter } from "../progress.ts";
import type { Arm, ArmOutcome, SweepBench } from "./sweep-bench.ts";

export interface SweepRun {
  readonly bench: SweepBench;
  readonly outcomes: ReadonlyMap<string, ArmOutcome>;
  /** Measures what is not known yet. `seen` hears of each arm in order, also of those from a checkpoint. @throws Stopped */
  measure(arms: readonly Arm[], seen: (arm: Arm, outcome: ArmOutcome) => void): Promise<void>;
  /** The texts that there will be. */
  expect(texts: number): void;
}

/** Fills the batch several times over, so that it does not run half empty at the end of each wave. */
const BATCHES_A_WAVE = 4;

export async function startSweepRun(bench: SweepBench, context: JobContext): Promise<SweepRun> {
  const outcomes = new Map<string, ArmOutcome>(await loadOutcomes(context));
  const clock: CheckpointClock = createCheckpointClock(outcomes.size, undefined);
  let total = 0;
  let meter: ProgressMeter = createProgressMeter(total, "texts");
  // What an earlier attempt has measured counts at once.
  let done = [...outcomes.values()].reduce((sum, one) => sum + ("texts" in one ? one.texts.length : 0), 0);
  const tell = () => context.progress(meter.at(Math.min(done, total)));

  async function save(): Promise<void> {
    const before = performance.now();
    await context.saveCheckpoint(Buffer.from(JSON.stringify([...outcomes])), outcomes.size);
    clock.saved(outcomes.size, performance.now() - before);
  }

  async function runWave(wave: readonly Arm[]): Promise<void> {
    const kept = done;
    try {
      const measured = await bench.run(wave, () => {
        done += 1;
        tell();
      });
      for (const [i, arm] of wave.entries()) outcomes.set(arm.key, measured[i]!);
    } catch (error) {
      done = kept;
      if ((error instanceof Stopped || isProblem(error)) && outcomes.size > 0) await save();
      throw error;
    }
  }

  return {
    ...{ bench, outcomes },
    expect(texts) {
      total = texts;
      meter = createProgressMeter(total, "texts");
      tell();
    },
    async measure(arms, seen) {
      let told = 0;
      const tellSeen = () => {
        for (let next = arms[told]; next && outcomes.has(next.key); next = arms[++told])
          seen(next, outcomes.get(next.key)!);
      };
      tellSeen();
      const unknown = arms.filter(({ key }) => !outcomes.has(key));
      for (const wave of wavesOf(unknown, BATCHES_A_WAVE * context.settings.maxBatch)) {
        await runWave(wave);
        tellSeen();
        if (clock.isDue(outcomes.size)) await save();
      }
    },
  };
}

function* wavesOf(arms: readonly Arm[], texts: number): Generator<Arm[]> {
  let wave: Arm[] = [];
  let count = 0;
  for (const arm of arms) {
    wave.push(arm);
    count += arm.prompts.length;
    if (count < texts) continue;
    yield wave;
    wave = [];
    count = 0;
  }
  if (wave.length > 0) yield wave;
}

async function loadOutcomes({ checkpoint, blobs }: JobContext): Promise<[string, ArmOutcome][]> {
  if (!checkpoint) return [];
  return JSON.parse(Buffer.from(await bytesOf(await blobs.get(checkpoint.digest))).toString("utf8"));
}
