import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { writeQwenScope } from "../../engine/sae/layouts/qwen-scope.ts";
import { readSaelens, writeSaelens } from "../../engine/sae/layouts/saelens.ts";
import { bfloat16ToFloat32, float32ToBfloat16 } from "../../formats/half-float.ts";
import type { Worker } from "../../workers/supervisor.ts";
import { randomSae } from "../engine/sae/support.ts";
import { cut, type HubServer, startHub } from "../support/hub-server.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

const D = 48;
// Large enough that a download is many chunks.
const width = 1024;
const topk = (seed: number) => randomSae(D, width, { kind: "topk", k: 4 }, seed);
const releasedRepo = "Qwen/SAE-Res-Tiny-Base-W1K-L0_4";
const modelRepo = "org/tiny-qwen3";

let hub: HubServer;
let deployment: Deployment;
let worker: Worker;
let folder: string;
let modelId: string;
let layers: Uint8Array[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hub-"));
  layers = [];
  for (const layer of [0, 1, 2]) {
    await writeQwenScope(join(folder, `layer${layer}.sae.pt`), topk(layer));
    layers.push(await readFile(join(folder, `layer${layer}.sae.pt`)));
  }
  await writeSaelens(join(folder, "lens"), topk(7), { layer: 1 });
  const lens = async (name: string) => ({ [`blocks.1/${name}`]: await readFile(join(folder, "lens", name)) });
  const model: Record<string, Uint8Array> = {
    "training.bin": new Uint8Array(1e6),
    "consolidated.safetensors": layers[0]!,
  };
  for (const name of [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
  ])
    model[name] = await readFile(join(fixtureModel, name));
  const released = Object.fromEntries(layers.map((bytes, layer) => [`layer${layer}.sae.pt`, bytes]));
  hub = await startHub(
    { repo: modelRepo, files: model },
    {
      repo: "org/other",
      files: { "config.json": Buffer.from('{"model_type": "other"}'), "model.safetensors": layers[0]! },
    },
    { repo: releasedRepo, files: { "README.md": Buffer.from("card"), ...released } },
    {
      repo: "org/private-lens",
      token: "hf_right",
      files: { ...(await lens("cfg.json")), ...(await lens("sae_weights.safetensors")) },
    },
    { repo: "Qwen/SAE-Res-Wrong-W4K-L0_4", files: released },
  );
  // The storage is another host: only the hub itself is allowed by being HF_ENDPOINT.
  const secrets = { SECRETS_KEY: Buffer.alloc(32, 1).toString("base64") };
  deployment = await deploy({ HF_ENDPOINT: hub.endpoint, OUTBOUND_ALLOW: "127.0.0.1", ...secrets });
  worker = await deployment.worker("batch");
  const source = { type: "hub", repo: modelRepo };
  const row = await deployment.run("model.import", { name: "tiny", source });
  modelId = (row.result as { model_id: string }).model_id;
});
afterAll(async () => {
  await deployment.close();
  await hub.close();
  await rm(folder, { recursive: true });
});
afterEach(() => {
  hub.intercept = null;
});

const input = (name: string, changes: object) =>
  ({ name, model_id: modelId, layout: "qwen_scope", source: { type: "hub", repo: releasedRepo }, ...changes }) as never;

async function stored(name: string) {
  const { platform, workspaceId } = deployment;
  const include = { weights_artifact: true, config_artifact: true } as const;
  const row = await platform.db.sae.findFirstOrThrow({ where: { name }, include });
  const copy = await mkdtemp(join(folder, "stored-"));
  await writeFile(join(copy, "cfg.json"), await platform.store.get(workspaceId, row.config_artifact!.digest!));
  const weights = await platform.store.get(workspaceId, row.weights_artifact!.digest!);
  await writeFile(join(copy, "sae_weights.safetensors"), weights);
  return { row, sae: (await readSaelens(copy)).sae };
}

async function refusal(given: object) {
  const row = await deployment.ended(await deployment.submit("sae.import", input("refused", given)));
  expect(row.state).toBe("failed");
  return row.error as { code: string; detail: string };
}

const fetched = () => hub.requests.filter(({ host }) => host === "storage").map(({ range }) => range ?? "all");
const downloads = () => join(deployment.platform.config.DATA_DIR, "cache/hub");
/** Large files that lie there. */
const kept = async () => (await readdir(downloads())).filter((name) => /^[0-9a-f]{64}/.test(name));

/** Bytes of the download that is on its way. */
const arrived = async () => {
  const part = (await kept()).find((name) => name.endsWith(".part"));
  return part === undefined ? 0 : (await stat(join(downloads(), part))).size;
};

describe("model.import from the hub", () => {
  test("takes the files that make up the model, at the revision's commit, into the artifact store", async () => {
    const { platform, workspaceId } = deployment;
    const model = await platform.db.model.findUniqueOrThrow({ where: { id: modelId } });
    const asked = hub.requests.filter(({ url }) => url.includes(`/${modelRepo}/resolve/${hub.commit}/`));
    expect(asked.map(({ url }) => url.split("/").at(-1)).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(model).toMatchObject({
      path: null,
      layers: 3,
      source: { type: "hub", repo: modelRepo, commit: hub.commit },
    });
    for (const { path, artifact_id } of model.files as { path: string; artifact_id: string }[]) {
      const artifact = await platform.artifacts.find(workspaceId, artifact_id);
      const bytes = await buffer(await platform.store.get(workspaceId, artifact!.digest!));
      expect(bytes.equals(await readFile(join(fixtureModel, path))), path).toBe(true);
    }
    expect(await kept()).toEqual([]);
  });

  test("downloads no weights of a model that is not read", async () => {
    const before = hub.requests.length;
    const source = { type: "hub", repo: "org/other" };
    const row = await deployment.ended(await deployment.submit("model.import", { name: "other", source }));
    expect(row.error).toMatchObject({ code: "MODEL_UNSUPPORTED" });
    expect(hub.requests.slice(before).filter(({ host }) => host === "storage")).toEqual([]);
  });
});

describe("sae.import from the hub", () => {
  test("downloads only the layers that are asked for, and stores them as float32 or bfloat16", async () => {
    const before = fetched().length;
    await deployment.run("sae.import", input("both", { layers: [0, 2] }));
    await deployment.run("sae.import", input("half", { layer: 1, precision: "bfloat16" }));
    expect(fetched().slice(before)).toEqual(["all", "all", "all"]);
    expect((await stored("both-layer0")).sae).toEqual(topk(0));
    const second = await stored("both-layer2");
    expect(second.sae).toEqual(topk(2));
    expect(second.row).toMatchObject({ k: 4, width, layer: 2, source: { repo: releasedRepo, commit: hub.commit } });
    const half = await stored("half");
    expect(half.sae.W_dec_FD).toEqual(bfloat16ToFloat32(float32ToBfloat16(topk(1).W_dec_FD)));
    expect(Number(half.row.size_bytes)).toBeLessThan(0.52 * Number(second.row.size_bytes));
    expect(await kept()).toEqual([]);
  });

  test("reads a private repository of another layout with the workspace's secret, which no row or event repeats", async () => {
    const { platform, workspaceId } = deployment;
    const hosts = [new URL(hub.endpoint).host];
    await platform.secrets.create({ workspaceId, name: "hf", value: "hf_right", hosts });
    const source = { type: "hub", repo: "org/private-lens" };
    const lens = { layer: 1, layout: "saelens" };
    expect(await refusal({ ...lens, source })).toMatchObject({
      code: "HUB_ACCESS_REFUSED",
      detail: expect.stringMatching(/private-lens does not exist or is private; .* token_secret/),
    });
    expect(await refusal({ ...lens, source: { ...source, token_secret: "none" } })).toMatchObject({
      code: "SECRET_NOT_FOUND",
    });
    const row = await deployment.run(
      "sae.import",
      input("lens", { ...lens, source: { ...source, token_secret: "hf" } }),
    );
    expect((await stored("lens")).sae).toEqual(topk(7));
    const events = await platform.db.jobEvent.findMany({ where: { job_id: row.id } });
    expect(
      JSON.stringify([row, events], (_, value) => (typeof value === "bigint" ? String(value) : value)),
    ).not.toContain("hf_right");
  });

  test("refuses k, width and layers that the name or the list contradict, before a byte is downloaded", async () => {
    const before = fetched().length;
    expect(await refusal({ layer: 0, source: { type: "hub", repo: "Qwen/SAE-Res-Wrong-W4K-L0_4" } })).toMatchObject({
      code: "DIMENSION_MISMATCH",
      detail: expect.stringMatching(/layer0\.sae\.pt has \d+ bytes; width 4096 of the name/),
    });
    hub.intercept = (request, response) =>
      /tree/.test(request.url!) && Boolean(response.writeHead(200).end(JSON.stringify([])));
    expect(await refusal({ layer: 0 })).toMatchObject({
      code: "FILE_NOT_FOUND",
      detail: expect.stringMatching(/none at all/),
    });
    hub.intercept = null;
    expect(
      await refusal({ layer: 0, source: { type: "hub", repo: "Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_75" } }),
    ).toMatchObject({
      code: "HUB_ACCESS_REFUSED",
      detail: expect.stringMatching(/released are .*W64K-L0_50 and .*W64K-L0_100/),
    });
    expect(await refusal({ layer: 0, k: 5 })).toMatchObject({
      code: "SETTINGS_CONTRADICTORY",
      detail: "the repository's name says k 4, the request 5",
    });
    expect(fetched()).toHaveLength(before);
  });

  test("goes on within a layer after its process was killed, and keeps the layers that were stored", async () => {
    const begun = fetched().length;
    let first = true;
    hub.intercept = (request, response, host) => {
      if (host === "hub" || fetched().length < begun + 2) return false;
      if (!first) return false;
      first = false;
      expect(request.headers.range).toBeUndefined();
      response.writeHead(200, { "content-length": layers[1]!.length }).write(layers[1]!.subarray(0, 200_000));
      return true;
    };
    const jobId = await deployment.submit("sae.import", input("killed", { layers: [0, 1] }));
    await eventOf(deployment.platform, jobId, ({ type }) => type === "checkpoint");
    await expect.poll(arrived, { timeout: 60_000 }).toBeGreaterThan(0);
    process.kill(worker.devicePid()!, "SIGKILL");
    const row = await deployment.ended(jobId);
    expect(row.state, JSON.stringify(row.error)).toBe("succeeded");
    expect((await stored("killed-layer0")).sae).toEqual(topk(0));
    expect((await stored("killed-layer1")).sae).toEqual(topk(1));
    const ranges = fetched().slice(begun);
    expect(ranges).toHaveLength(3);
    expect(ranges[2]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  test("goes on after a cut, and a cancelled download is taken up by the next import", async () => {
    let cuts = 0;
    hub.intercept = (_, response, host) => {
      if (host === "hub" || ++cuts > 1) return false;
      cut(response, layers[0]!, 0);
      return true;
    };
    await deployment.run("sae.import", input("cut", { layer: 0 }));
    expect((await stored("cut")).sae).toEqual(topk(0));

    hub.intercept = (_, response, host) => {
      if (host === "hub") return false;
      response.writeHead(200, { "content-length": layers[2]!.length }).write(layers[2]!.subarray(0, 100_000));
      return true;
    };
    const jobId = await deployment.submit("sae.import", input("taken-up", { layer: 2 }));
    await expect.poll(arrived, { timeout: 60_000 }).toBeGreaterThan(0);
    await deployment.platform.jobs.requestCancel(deployment.workspaceId, jobId);
    expect((await deployment.ended(jobId)).state).toBe("canceled");
    expect(await kept()).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.part$/)]);
    hub.intercept = null;
    await deployment.run("sae.import", input("taken-up", { layer: 2 }));
    expect(fetched().at(-1)).toMatch(/^bytes=\d+-$/);
    expect((await stored("taken-up")).sae).toEqual(topk(2));
  });
});
