import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { releaseJobs } from "../../api/submit/sae-release.ts";
import { newId } from "../../domain/id.ts";
import type { SaeReleaseSettings } from "../../domain/release.ts";
import { resolveSaeTrain } from "../../domain/training-laws.ts";
import type { JobRow, Json } from "../../platform/jobs.ts";
import type { Worker } from "../../workers/supervisor.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

let deployment: Deployment;
let modelId: string;
let datasetId: string;
const workers: Worker[] = [];

beforeAll(async () => {
  deployment = await deploy();
  for (let count = 0; count < 2; count++) workers.push(await deployment.worker("batch"));
  const row = await deployment.run("model.import", { name: "tiny", source: { type: "directory", path: fixtureModel } });
  modelId = (row.result as { model_id: string }).model_id;
  const samples = Array.from({ length: 300 }, (_, index) => ({
    text: Array.from({ length: 12 + (index % 9) }, (_, at) => `word${(index * 5 + at * at) % 37}`).join(" "),
  }));
  datasetId = await deployment.dataset("words", samples);
});
afterAll(() => deployment.close());

function settings(changes: object = {}): SaeReleaseSettings {
  const input = {
    model_id: modelId,
    dataset_id: datasetId,
    layers: [0, 1, 2],
    width: 64,
    k: 4,
    tokens: 12_000,
    batch_tokens: 128,
    buffer_tokens: 1024,
    context_tokens: 64,
    evaluation_tokens: 500,
    checkpoint_every_steps: 20,
    seed: 3,
    ...changes,
  };
  const training = resolveSaeTrain(input, { layers: 3, dModel: 48, vocabSize: 320, contextLength: 512 });
  return { ...training, layers_per_job: 1, release_id: newId("release") };
}

async function submit(release: SaeReleaseSettings): Promise<string> {
  const { platform, workspaceId } = deployment;
  const id = newId("job");
  const children = releaseJobs(id, release).map(({ kind, input }) => ({
    id: newId("job"),
    workspaceId,
    kind,
    input: input as Json,
  }));
  const input = release as unknown as Json;
  await platform.db.$transaction((tx) =>
    platform.jobs.createFanOut(tx, { id, workspaceId, kind: "sae.release", input }, children),
  );
  return id;
}

const childrenOf = (id: string) => deployment.platform.db.job.findMany({ where: { parent_id: id } });
const saesOf = (releaseId: string) =>
  deployment.platform.db.sae.findMany({ where: { release_id: releaseId }, orderBy: { layer: "asc" } });

async function textOf(artifactId: string): Promise<string> {
  const artifact = await deployment.platform.db.artifact.findUniqueOrThrow({ where: { id: artifactId } });
  const chunks: Uint8Array[] = [];
  for await (const chunk of await deployment.platform.store.get(deployment.workspaceId, artifact.digest!))
    chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

async function reportOf(job: JobRow): Promise<{ saes: { layer: number }[]; jobs: unknown[]; curve: unknown[] }> {
  return JSON.parse(await textOf((job.result as { report_artifact_id: string }).report_artifact_id));
}

describe("sae.release", () => {
  test("trains every layer in jobs that the workers share, ends in one release, and loses nothing with a worker", async () => {
    const release = settings({ name: "suite" });
    const id = await submit(release);
    const [first] = await childrenOf(id);
    await eventOf(deployment.platform, first!.id, (event) => event.type === "checkpoint");
    // Whichever of the two is at it: the other goes on from the checkpoint, or it does itself when it is back.
    const { worker_id } = await deployment.platform.db.job.findUniqueOrThrow({ where: { id: first!.id } });
    process.kill(workers.find((worker) => worker.id === worker_id)!.devicePid()!, "SIGKILL");

    const ended = await deployment.ended(id);
    expect(ended.error).toBeNull();
    expect(ended.state).toBe("succeeded");
    const saes = await saesOf(release.release_id);
    expect(saes.map((sae) => sae.name)).toEqual(["suite-layer0", "suite-layer1", "suite-layer2"]);
    expect(ended.result).toMatchObject({ release_id: release.release_id, sae_ids: saes.map((sae) => sae.id) });
    const report = await reportOf(ended);
    expect(report.saes.map((sae) => sae.layer)).toEqual([0, 1, 2]);
    expect(report.jobs).toHaveLength(3);
    expect(report.curve.length).toBeGreaterThan(0);
    const page = await textOf((ended.result as { report_page_artifact_id: string }).report_page_artifact_id);
    for (const { name } of saes) expect(page).toContain(name);
    expect(page).toContain("Layer by layer");
    expect(ended.progress).toMatchObject({ done: 3 * 11_904, total: 3 * 11_904, unit: "tokens" });

    // The same layers in one job, undisturbed.
    const alone = { ...release, name: "alone", release_id: newId("release") };
    await deployment.run("sae.train", alone as unknown as Json);
    const digests = (rows: { digest: string }[]) => rows.map((row) => row.digest);
    expect(digests(saes)).toEqual(digests(await saesOf(alone.release_id)));
  });

  test("of which a job fails says which layers are missing, and resumed makes only those", async () => {
    const release = settings({ name: "broken" });
    const id = await submit(release);
    const children = await childrenOf(id);
    const lost = children.find((child) => (child.input as { layers: number[] }).layers[0] === 2)!;
    await deployment.platform.jobs.requestCancel(deployment.workspaceId, lost.id);
    const ended = await deployment.ended(id);
    expect(ended.state).toBe("failed");
    expect(ended.error).toMatchObject({ code: "RELEASE_INCOMPLETE" });
    expect(JSON.stringify(ended.error)).toContain(`${lost.id} (layers 2) canceled`);
    const before = (await saesOf(release.release_id)).map((sae) => sae.id);

    await deployment.platform.jobs.resume(deployment.workspaceId, id);
    const again = await deployment.ended(id);
    expect(again.state).toBe("succeeded");
    const after = await saesOf(release.release_id);
    expect(after.map((sae) => sae.layer)).toEqual([0, 1, 2]);
    expect(after.map((sae) => sae.id)).toEqual(expect.arrayContaining(before));
  });
});
