import { expect, test } from "vitest";
import type { SaeTrainInput } from "../../domain/training.ts";
import { resolveSaeTrain } from "../../domain/training-laws.ts";
import type { ActivationBatch } from "../../engine/runtime/activations.ts";
import type { ActivationSource } from "../../workers/activation-source.ts";
import type { JobContext } from "../../workers/jobs/handler.ts";
import { stepOf } from "../../workers/jobs/training/training-checkpoint.ts";
import { startRun, train } from "../../workers/jobs/training/training-loop.ts";
import type { CheckpointPointer } from "../../workers/protocol.ts";
import { activationBatches, createSparseWorld } from "../engine/sae/synthetic.ts";

const dModel = 12;
const model = { layers: 3, dModel, vocabSize: 100, contextLength: 64 };
const world = createSparseWorld({ dModel, features: 20 });
const input: SaeTrainInput = {
  model_id: "m",
  dataset_id: "d",
  layers: [0, 1],
  width: 32,
  k: 3,
  tokens: 60 * 64,
  batch_tokens: 64,
  buffer_tokens: 64,
  checkpoint_every_steps: 10,
  learning_rate: 2e-2,
};

/** What a run leaves behind, in memory. */
function createContext(checkpoint: CheckpointPointer | null = null, blobs = new Map<string, Uint8Array>()) {
  const events: { name: string; data: Record<string, unknown> }[] = [];
  const context = {
    jobId: "job_1",
    checkpoint,
    settings: { threads: 1 },
    signal: new AbortController().signal,
    log: { info() {}, warn() {}, error() {} },
    step: async () => {},
    progress() {},
    event: (name: string, data: Record<string, unknown>) => events.push({ name, data }),
    blobs: { get: async (digest: string) => [blobs.get(digest)!] },
    async saveCheckpoint(bytes: AsyncIterable<Uint8Array>, step: number) {
      const digest = `blob ${blobs.size}`;
      const parts: Uint8Array[] = [];
      for await (const part of bytes) parts.push(part.slice());
      blobs.set(digest, Buffer.concat(parts));
      return { digest, sizeBytes: 0, step };
    },
  };
  return { context: context as unknown as JobContext, events, blobs };
}

/** Batches of 80 rows; the `spoil`th reading of each is changed first. */
function source(spoil: Record<number, (batch: ActivationBatch) => void> = {}): ActivationSource {
  return {
    async *from(place) {
      let at = 0;
      for (const batch of activationBatches(world, { rows: 8000, batch: 80, layers: [0, 1] })) {
        at++;
        if (at <= place.sample) continue;
        spoil[at]?.(batch);
        yield { batch, next: { pass: 0, sample: at, piece: 0 } };
      }
    },
  };
}

const nan = (batch: ActivationBatch) => {
  batch.activations[1]![5 * dModel] = Number.NaN;
};
/** Rows in no direction that the data has: nothing learned so far explains them. */
const strange = (batch: ActivationBatch) => {
  for (const acts_BD of batch.activations) for (let i = 0; i < acts_BD.length; i++) acts_BD[i] = Math.sin(i * i) * 4;
};

async function run(changes: Partial<SaeTrainInput>, from: ActivationSource, started = createContext()) {
  const settings = resolveSaeTrain({ ...input, ...changes }, model);
  const training = await startRun(settings, started.context, { dModel, runtime: "here" });
  const outcome = await train(training, from).then(
    () => "done",
    (error) => error,
  );
  await training.trainer.close();
  return { ...started, training, outcome, names: started.events.map((event) => event.name) };
}

test("activations that are not finite send the run back to its last checkpoint, without them, to its end", async () => {
  const { events, outcome, training } = await run({}, source({ 20: nan }));
  expect(outcome).toBe("done");
  const unstable = events.find((event) => event.name === "unstable")!.data;
  expect(unstable).toMatchObject({ reason: "activations_not_finite", activations_batch: 20 });
  expect(unstable.detail).toMatch(/layer 1 must be finite, got NaN in row 5/);
  const back = events.find((event) => event.name === "rolled_back")!.data;
  expect(back).toMatchObject({ rollbacks: 1 });
  // Steps were made since the checkpoint before the batch, and it was a checkpoint that it went back to.
  expect(back.to_step).toBeGreaterThanOrEqual(10);
  expect(back.to_step).toBeLessThan(Math.floor((19 * 75) / 64));
  expect(stepOf(training.trainer)).toBe(60);
  for (const { W_enc_FD } of [training.trainer.sae(0), training.trainer.sae(1)]) {
    expect(W_enc_FD.every(Number.isFinite)).toBe(true);
  }
});

test("a run that leaves out a batch of activations is the run that was never given it", async () => {
  const { training } = await run({}, source({ 20: nan }));
  const without: ActivationSource = {
    async *from(place) {
      for await (const one of source().from(place)) if (one.next.sample !== 20) yield one;
    },
  };
  const plain = await run({}, without);
  expect(training.trainer.sae(0)).toEqual(plain.training.trainer.sae(0));
  expect(training.trainer.sae(1)).toEqual(plain.training.trainer.sae(1));
});

test("a loss spike sends the run back, and the batch is left out; asked to stop, it stops and names both", async () => {
  const spiky = { spike_factor: 2, tokens: 70 * 64 };
  const { events, outcome, training } = await run(spiky, source({ 50: strange }));
  expect(outcome).toBe("done");
  const spike = events.find((event) => event.name === "unstable")!.data;
  expect(spike).toMatchObject({ reason: "loss_spike", layer: expect.any(Number) });
  expect(spike.step).toBe(spike.batch);
  expect(training.recovery.batches).toContainEqual({ sae: spike.layer, batch: spike.batch });
  expect(stepOf(training.trainer)).toBe(70);

  const stopped = await run({ ...spiky, on_instability: "stop" }, source({ 50: strange }));
  expect(stopped.outcome).toMatchObject({ code: "TRAINING_UNSTABLE" });
  expect(stopped.outcome.message).toContain(`step ${spike.step}, batch ${spike.batch}`);
  expect(stopped.names).not.toContain("rolled_back");
});

test("a run goes back as often as it may, then fails", async () => {
  const spoiled = source({ 20: nan, 25: nan, 30: nan });
  expect((await run({ maximum_rollbacks: 3 }, spoiled)).outcome).toBe("done");
  const { outcome, names } = await run({ maximum_rollbacks: 2 }, spoiled);
  expect(outcome).toMatchObject({ code: "TRAINING_NOT_FINITE", message: expect.stringMatching(/2 times before/) });
  expect(names.filter((name) => name === "rolled_back")).toHaveLength(2);
});

test("a run that went back and is then killed ends with the same bits", async () => {
  const undisturbed = await run({}, source({ 20: nan }));
  const { context, blobs } = createContext();
  // The checkpoint that going back has made: of the killed run nothing else is left.
  const digest = [...undisturbed.blobs.keys()][2]!;
  const pointer = { digest, sizeBytes: 0, step: 10 };
  const resumed = await run({}, source({ 20: nan }), createContext(pointer, undisturbed.blobs));
  expect(resumed.names).not.toContain("unstable");
  expect(resumed.training.trainer.sae(1)).toEqual(undisturbed.training.trainer.sae(1));
  expect([context.checkpoint, blobs.size]).toEqual([null, 0]);
});

test("a checkpoint of another job, instruction set or configuration is refused before any work", async () => {
  const { blobs } = await run({}, source());
  const pointer = { digest: [...blobs.keys()][0]!, sizeBytes: 0, step: 10 };
  const refused = async (changes: Partial<SaeTrainInput>, change: object, runtime = "here") => {
    const { context } = createContext(pointer, blobs);
    const settings = resolveSaeTrain({ ...input, ...changes }, model);
    return startRun(settings, { ...context, ...change } as JobContext, { dModel, runtime }).catch((error) => error);
  };
  expect(await refused({}, { jobId: "job_2" })).toMatchObject({ code: "CHECKPOINT_MISMATCH" });
  expect((await refused({}, {}, "elsewhere")).message).toMatch(/made with here, this worker has elsewhere/);
  expect((await refused({ k: 2 }, {})).message).toMatch(/made with k 3, not 2/);
});
