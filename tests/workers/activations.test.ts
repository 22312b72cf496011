import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type ActivationManifest,
  ActivationManifest as ManifestSchema,
  resolveActivationsHarvest,
} from "../../domain/activations.ts";
import { parse } from "../../domain/schema.ts";
import { resolveSaeTrain } from "../../domain/training-laws.ts";
import { encodeSafetensors, parseSafetensors } from "../../formats/safetensors.ts";
import type { JobRow, Json } from "../../platform/jobs.ts";
import type { Worker } from "../../workers/supervisor.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

let deployment: Deployment;
let worker: Worker;
let modelId: string;
let datasetId: string;
const shape = { layers: 3, dModel: 48, vocabSize: 320, contextLength: 512 };

beforeAll(async () => {
  deployment = await deploy();
  worker = await deployment.worker("batch");
  const row = await deployment.run("model.import", { name: "tiny", source: { type: "directory", path: fixtureModel } });
  modelId = (row.result as { model_id: string }).model_id;
  const samples = Array.from({ length: 400 }, (_, index) => ({
    text: Array.from({ length: 10 + (index % 17) }, (_, at) => `word${(index * 5 + at * at) % 37}`).join(" "),
  }));
  datasetId = await deployment.dataset("words", samples);
});
afterAll(() => deployment.close());

const harvestInput = (changes: object = {}): Json => {
  const input = { model_id: modelId, dataset_id: datasetId, layers: [0, 2], context_tokens: 64, seed: 7, ...changes };
  return resolveActivationsHarvest(input, shape) as unknown as Json;
};
const trainInput = (changes: object = {}): Json => {
  const input = {
    ...{ model_id: modelId, dataset_id: datasetId, layers: [0, 2], width: 64, k: 4, seed: 7, context_tokens: 64 },
    ...{ tokens: 8_000, batch_tokens: 128, buffer_tokens: 1024, evaluation_tokens: 500, checkpoint_every_steps: 20 },
    ...changes,
  };
  return resolveSaeTrain(input, shape) as unknown as Json;
};

async function contentOf(artifactId: string): Promise<Buffer> {
  const artifact = await deployment.platform.db.artifact.findUniqueOrThrow({ where: { id: artifactId } });
  const chunks: Uint8Array[] = [];
  const content = await deployment.platform.store.get(deployment.workspaceId, artifact.digest!);
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}
const idOf = (job: JobRow) => (job.result as { activations_id: string }).activations_id;
const manifestOf = async (job: JobRow) =>
  parse(ManifestSchema, JSON.parse((await contentOf(idOf(job))).toString("utf8")), "");
const digests = async (job: JobRow) => {
  const saes = await deployment.platform.db.sae.findMany({ where: { job_id: job.id }, orderBy: { layer: "asc" } });
  return saes.map((sae) => sae.digest);
};

async function store(name: string, bytes: Uint8Array): Promise<string> {
  const { platform, workspaceId } = deployment;
  const blob = await platform.store.put(workspaceId, bytes);
  return (await platform.artifacts.create({ workspaceId, name, contentType: "application/octet-stream", blob })).id;
}

describe("activations.harvest", () => {
  test("a training that reads a harvest learns bit for bit what it learns from the model", async () => {
    const harvested = await deployment.run("activations.harvest", harvestInput({ shard_bytes: 300_000 }));
    const manifest = await manifestOf(harvested);
    expect(manifest.shards.length).toBeGreaterThan(2);
    expect(manifest.rows).toBe(manifest.shards.reduce((sum, shard) => sum + shard.rows, 0));
    const [fromModel, fromShards] = [
      await deployment.run("sae.train", trainInput()),
      await deployment.run("sae.train", trainInput({ activations_id: idOf(harvested) })),
    ];
    expect(await digests(fromShards)).toEqual(await digests(fromModel));
  });

  test("a training goes over a harvest again and again, and resumes in it to the same bits", async () => {
    const harvested = await deployment.run("activations.harvest", harvestInput({ tokens: 3000, shard_bytes: 200_000 }));
    const input = trainInput({ activations_id: idOf(harvested), layers: [2], tokens: 20_000 });
    const undisturbed = await deployment.run("sae.train", input);
    const id = await deployment.submit("sae.train", input);
    await eventOf(deployment.platform, id, (event) => event.type === "checkpoint");
    process.kill(worker.devicePid()!, "SIGKILL");
    const resumed = await deployment.ended(id);
    expect(resumed.state).toBe("succeeded");
    expect(resumed.attempt).toBeGreaterThan(1);
    expect(await digests(resumed)).toEqual(await digests(undisturbed));
  });

  test("a harvest whose device is killed goes on after its last shard, with the same shards", async () => {
    const input = harvestInput({ shard_bytes: 100_000, seed: 11 });
    const undisturbed = await manifestOf(await deployment.run("activations.harvest", input));
    const id = await deployment.submit("activations.harvest", input);
    await eventOf(deployment.platform, id, (event) => event.type === "checkpoint");
    process.kill(worker.devicePid()!, "SIGKILL");
    const resumed = await deployment.ended(id);
    expect(resumed.state).toBe("succeeded");
    const content = ({ digest, rows }: ActivationManifest["shards"][number]) => ({ digest, rows });
    expect((await manifestOf(resumed)).shards.map(content)).toEqual(undisturbed.shards.map(content));
  });

  test("what a checkpoint names outlives the collector, as long as the checkpoint does", async () => {
    const { platform, workspaceId } = deployment;
    const canceledHarvest = async (seed: number): Promise<string> => {
      const id = await deployment.submit("activations.harvest", harvestInput({ shard_bytes: 65_536, seed }));
      await eventOf(platform, id, (event) => event.type === "checkpoint");
      await platform.jobs.requestCancel(workspaceId, id);
      // One that was faster than its cancel has no checkpoint left to look at.
      return (await deployment.ended(id)).state === "canceled" ? id : await canceledHarvest(seed + 1);
    };
    const id = await canceledHarvest(12);
    const checkpoint = await deployment.platform.jobs.latestCheckpoint(id);
    const { blobs } = checkpoint!.metadata as { blobs: string[] };
    expect(blobs.length).toBeGreaterThan(0);
    // Only the checkpoint holds them now.
    await deployment.platform.db.artifact.deleteMany({ where: { job_id: id } });
    await deployment.platform.artifacts.collect({ unusedForMs: -1 });
    for (const digest of blobs)
      expect(await deployment.platform.store.head(deployment.workspaceId, digest)).not.toBeNull();
    await deployment.platform.jobs.resume(deployment.workspaceId, id);
    expect((await deployment.ended(id)).state).toBe("succeeded");
  });

  test("half the bytes hold the same numbers rounded", async () => {
    const [full, half] = [
      await manifestOf(await deployment.run("activations.harvest", harvestInput({ tokens: 500 }))),
      await manifestOf(await deployment.run("activations.harvest", harvestInput({ tokens: 500, dtype: "bfloat16" }))),
    ];
    const exact = parseSafetensors(await contentOf(full.shards[0]!.artifact_id)).float32("resid_post.2");
    const rounded = parseSafetensors(await contentOf(half.shards[0]!.artifact_id)).float32("resid_post.2");
    expect(rounded.length).toBe(exact.length);
    expect(rounded.every((value, i) => Math.abs(value - exact[i]!) <= Math.abs(exact[i]!) / 256)).toBe(true);
    expect(rounded.some((value, i) => value !== exact[i])).toBe(true);
  });

  test("a shard of another width is refused before any work, with its number and both shapes", async () => {
    const manifest = await manifestOf(await deployment.run("activations.harvest", harvestInput({ tokens: 500 })));
    const [shard] = manifest.shards as [ActivationManifest["shards"][number]];
    const { rows } = shard;
    const file = parseSafetensors(await contentOf(shard.artifact_id));
    const tensors = [...file.tensors.values()].map(({ name, dtype, shape }) =>
      name.startsWith("resid_post")
        ? { name, dtype, shape: [rows, 40], data: new Float32Array(rows * 40) }
        : { name, dtype, shape, data: file.bytesOf(name) },
    );
    const narrow = encodeSafetensors(tensors);
    const artifact_id = await store("narrow.safetensors", narrow);
    const { digest } = await deployment.platform.db.artifact.findUniqueOrThrow({ where: { id: artifact_id } });
    const changed = { ...manifest, shards: [{ artifact_id, digest, rows, size_bytes: narrow.byteLength }] };
    const activations_id = await store("activations.json", Buffer.from(JSON.stringify(changed)));
    const id = await deployment.submit("sae.train", trainInput({ activations_id }));
    const failed = await deployment.ended(id);
    expect(failed.error).toMatchObject({ code: "ACTIVATIONS_MISMATCH" });
    expect(JSON.stringify(failed.error)).toContain(`shard 0: tensor \\"resid_post.0\\" is F32 [${rows}, 40]`);
    expect(failed.progress).toBeNull();
  });
});
