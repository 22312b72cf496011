import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveSaeTrain } from "../../domain/training-laws.ts";
import type { JobRow, Json } from "../../platform/jobs.ts";
import type { Worker } from "../../workers/supervisor.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

let deployment: Deployment;
let worker: Worker;
let modelId: string;
let datasetId: string;

const words = "the river runs slowly past three small towns and under an old bridge before it meets the grey sea".split(
  " ",
);
const sentence = (index: number) =>
  Array.from({ length: 8 + (index % 23) }, (_, at) => words[(index * 7 + at * (3 + (index % 5))) % words.length]).join(
    " ",
  );

beforeAll(async () => {
  deployment = await deploy();
  worker = await deployment.worker("batch");
  const row = await deployment.run("model.import", { name: "tiny", source: { type: "directory", path: fixtureModel } });
  modelId = (row.result as { model_id: string }).model_id;
  datasetId = await deployment.dataset(
    "sentences",
    Array.from({ length: 400 }, (_, index) => ({ text: sentence(index) })),
  );
});
afterAll(() => deployment.close());

function settings(changes: object = {}): Json {
  const input = {
    model_id: modelId,
    dataset_id: datasetId,
    layers: [0, 2],
    width: 64,
    k: 4,
    tokens: 30_000,
    batch_tokens: 128,
    buffer_tokens: 2048,
    context_tokens: 64,
    evaluation_tokens: 1000,
    checkpoint_every_steps: 40,
    seed: 7,
    ...changes,
  };
  return resolveSaeTrain(input, { layers: 3, dModel: 48, vocabSize: 320, contextLength: 512 }) as unknown as Json;
}

/** Digests of the saes' weights, by layer. */
async function digests(job: JobRow): Promise<string[]> {
  const saes = await deployment.platform.db.sae.findMany({ where: { job_id: job.id }, orderBy: { layer: "asc" } });
  return saes.map((sae) => sae.digest);
}

const eventTypes = async (jobId: string) =>
  (await deployment.platform.jobs.events(jobId, 0, 10_000)).map((event) => event.type);

test("a batch worker says how fast a training goes on its machine", async () => {
  const [row] = (await deployment.platform.workers.live()).filter((one) => one.class === "batch");
  const rates = row!.capability as Record<string, number>;
  for (const name of ["flops_per_second", "sparse_flops_per_second", "updates_per_second"]) {
    // A machine a thousand times slower or faster than any there is would be a mistake of units.
    expect(rates[name], name).toBeGreaterThan(1e6);
    expect(rates[name], name).toBeLessThan(1e15);
  }
});

describe("sae.train", () => {
  let undisturbed: JobRow;
  beforeAll(async () => {
    undisturbed = await deployment.run("sae.train", settings({ name: "undisturbed" }));
  });

  test("makes one sae a layer with held-out metrics, a report and progress", async () => {
    const { platform, workspaceId } = deployment;
    const result = undisturbed.result as { sae_ids: string[]; release_id: string; report_artifact_id: string };
    const saes = await platform.db.sae.findMany({ where: { job_id: undisturbed.id }, orderBy: { layer: "asc" } });
    expect(saes.map((sae) => sae.id)).toEqual(result.sae_ids);
    expect(saes.map((sae) => sae.name)).toEqual(["undisturbed-layer0", "undisturbed-layer2"]);
    for (const sae of saes) {
      expect(sae).toMatchObject({ model_id: modelId, release_id: result.release_id, width: 64, k: 4, d_model: 48 });
      const metrics = sae.metrics as Record<string, number>;
      expect(metrics.l0_per_token).toBeGreaterThan(0);
      expect(metrics.l0_per_token).toBeLessThanOrEqual(4);
      // 1 is what the mean alone would leave unexplained.
      expect(metrics.fraction_variance_unexplained).toBeLessThan(0.8);
      expect(metrics.cross_entropy_recovered).not.toBe(metrics.cross_entropy_recovered_inliers);
      for (const value of Object.values(metrics)) expect(Number.isFinite(value)).toBe(true);
    }
    const report = await platform.artifacts.find(workspaceId, result.report_artifact_id);
    const chunks = await (await platform.store.get(workspaceId, report!.digest!)).toArray();
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    expect(body.saes.map((sae: { sae_id: string }) => sae.sae_id)).toEqual(result.sae_ids);
    expect(body.curve.at(-1).step).toBe(234);
    const files = await platform.db.jobArtifact.findMany({
      where: { job_id: undisturbed.id },
      include: { artifact: true },
    });
    const text = async (name: string) => {
      const { artifact } = files.find((file) => file.name === name)!;
      return Buffer.concat(await (await platform.store.get(workspaceId, artifact.digest!)).toArray()).toString("utf8");
    };
    expect(await text("report.html")).toContain(
      `<td>${Number((saes[0]!.metrics as { l0_per_token: number }).l0_per_token.toPrecision(4))}</td>`,
    );
    const features = (await text("undisturbed-layer2/features.csv")).trim().split("\r\n");
    expect(features).toHaveLength(1 + 64);
    expect(features[0]).toBe("feature,firing_rate,mean_activation,max_activation,decoder_norm,encoder_decoder_cosine");
    const { never, counts } = body.saes[1].firing_rate_histogram;
    const silent = features.slice(1).filter((row) => row.split(",")[1] === "0").length;
    expect([never, never + counts.reduce((sum: number, count: number) => sum + count, 0)]).toEqual([silent, 64]);
    expect(undisturbed.progress).toMatchObject({ done: 234 * 128, total: 234 * 128, unit: "tokens" });
    const types = await eventTypes(undisturbed.id);
    for (const type of ["started", "progress", "metrics", "checkpoint", "evaluating", "end"])
      expect(types).toContain(type);
    const measured = await platform.db.jobEvent.findMany({
      where: { job_id: undisturbed.id, type: "metrics" },
      orderBy: { seq: "asc" },
    });
    // However short a run, its live curves reach its end.
    expect(measured.slice(-2).map((event) => event.data)).toMatchObject([{ step: 234 }, { step: 234 }]);
  });

  test("a run whose device is killed with SIGKILL ends with the same bits", async () => {
    const { platform } = deployment;
    const jobId = await deployment.submit("sae.train", settings({ name: "killed" }));
    await eventOf(platform, jobId, (event) => event.type === "checkpoint");
    process.kill(worker.devicePid()!, "SIGKILL");
    const row = await deployment.ended(jobId);
    expect(row).toMatchObject({ state: "succeeded", attempt: 2 });
    expect(await eventTypes(jobId)).toContain("crashed");
    expect(await digests(row)).toEqual(await digests(undisturbed));
  });

  test("a run that is preempted goes on elsewhere, counts no attempt, and ends with the same bits", async () => {
    const { platform } = deployment;
    const jobId = await deployment.submit("sae.train", settings({ name: "preempted" }));
    await eventOf(platform, jobId, (event) => event.type === "progress" && (event.data as { done: number }).done > 0);
    // At once: on an idle machine the whole run takes less time than a worker's start.
    await worker.stop();
    worker = await deployment.worker("batch");
    const row = await deployment.ended(jobId);
    expect(row).toMatchObject({ state: "succeeded", attempt: 1, preemptions: 1 });
    expect(await digests(row)).toEqual(await digests(undisturbed));
  });

  test("a canceled run keeps its last checkpoint and partial results, and can be resumed to the same bits", async () => {
    const { platform, workspaceId } = deployment;
    const jobId = await deployment.submit("sae.train", settings({ name: "canceled" }));
    await eventOf(platform, jobId, (event) => event.type === "metrics");
    await platform.jobs.requestCancel(workspaceId, jobId);
    const row = await deployment.ended(jobId);
    expect(row.state).toBe("canceled");
    expect(await platform.jobs.latestCheckpoint(jobId)).not.toBeNull();
    const links = await platform.db.jobArtifact.findMany({ where: { job_id: jobId } });
    expect(links.map((link) => link.name)).toContainEqual(expect.stringMatching(/^partial-step\d+-report\.json$/));
    expect(await platform.db.sae.count({ where: { job_id: jobId } })).toBe(0);

    await platform.jobs.resume(workspaceId, jobId);
    const resumed = await deployment.ended(jobId);
    expect(resumed.state).toBe("succeeded");
    expect(await digests(resumed)).toEqual(await digests(undisturbed));
  });

  test("layers trained together are bit for bit what each is alone", async () => {
    const alone = await deployment.run("sae.train", settings({ name: "alone", layers: [2] }));
    expect(await digests(alone)).toEqual((await digests(undisturbed)).slice(1));
  });

  test("one job makes an sae of each variant for each layer, and each is what it is alone", async () => {
    const variants = [
      { width: 64, k: 4 },
      { expansion: 2, k: 6 },
    ];
    const input = { width: undefined, k: undefined, variants, tokens: 6000, checkpoint_every_steps: undefined };
    const row = await deployment.run("sae.train", settings({ ...input, name: "several" }));
    const { sae_ids } = row.result as { sae_ids: string[] };
    const saes = await deployment.platform.db.sae.findMany({ where: { job_id: row.id } });
    const inOrder = sae_ids.map((id) => saes.find((sae) => sae.id === id)!);
    expect(inOrder.map((sae) => [sae.name, sae.layer, sae.width, sae.k])).toEqual([
      ["several-layer0-w64-k4", 0, 64, 4],
      ["several-layer0-w96-k6", 0, 96, 6],
      ["several-layer2-w64-k4", 2, 64, 4],
      ["several-layer2-w96-k6", 2, 96, 6],
    ]);
    const alone = await deployment.run("sae.train", settings({ name: "single", layers: [2], tokens: 6000 }));
    expect(await digests(alone)).toEqual([inOrder[2]!.digest]);
  });

  test("the saes of every architecture are told by the rule that they are used by", async () => {
    for (const [architecture, k] of [
      ["batch_topk", null],
      ["jumprelu", null],
      ["matryoshka_topk", 4],
    ] as const) {
      const input = settings({ name: architecture, architecture, layers: [2], tokens: 6000 });
      const row = await deployment.run("sae.train", input);
      const [sae] = await deployment.platform.db.sae.findMany({ where: { job_id: row.id } });
      expect(sae).toMatchObject({ architecture, k, width: 64 });
      expect((sae!.metrics as Record<string, number>).l0_per_token).toBeGreaterThan(0);
    }
  });

  test("another seed gives another sae", async () => {
    const other = await deployment.run("sae.train", settings({ name: "other", layers: [2], seed: 8, tokens: 6000 }));
    const same = await deployment.run("sae.train", settings({ name: "same", layers: [2], seed: 7, tokens: 6000 }));
    expect(await digests(other)).not.toEqual(await digests(same));
  });

  test("a dataset without a usable text fails with a problem, and leaves nothing", async () => {
    const empty = await deployment.dataset("empty", [{ text: "" }, { text: "" }]);
    const row = await deployment.ended(
      await deployment.submit("sae.train", settings({ dataset_id: empty, name: "none" })),
    );
    expect(row).toMatchObject({ state: "failed", error: { code: "DATASET_TOO_SMALL" } });
    expect(await deployment.platform.db.artifact.count({ where: { job_id: row.id } })).toBe(0);
  });

  test("a run of which the filters leave nothing ends with a problem instead of reading for ever", async () => {
    // The service refuses a factor below 1; one of 1 can do the same to a dataset whose norms are all alike.
    const input = { ...(settings({ name: "starved" }) as object), norm_filter: 0.001 };
    const row = await deployment.ended(await deployment.submit("sae.train", input as Json));
    expect(row).toMatchObject({
      state: "failed",
      error: { code: "SETTINGS_CONTRADICTORY", errors: [expect.objectContaining({ pointer: "/input/norm_filter" })] },
    });
  });

  test("a name that is taken is refused before the training", async () => {
    const row = await deployment.ended(await deployment.submit("sae.train", settings({ name: "undisturbed" })));
    expect(row).toMatchObject({ state: "failed", error: { code: "NAME_TAKEN" } });
    expect(await eventTypes(row.id)).not.toContain("progress");
  });
});
