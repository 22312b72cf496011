// Trains the bundled saes through the product itself: starts everything, posts one sae.train job over HTTP, and keeps
// what comes back.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readSaelens, writeSaelens } from "../../engine/sae/layouts/saelens.ts";
import { startEmbedded } from "../embedded.ts";
import { createClient } from "./http.ts";
import { line, progressBar } from "./terminal.ts";

export const RELEASE = "demo-small-topk";

/** One job; everything not named here is the product's default. */
export const SAE_JOB = {
  model_id: "demo-small",
  dataset_id: "demo-text",
  layers: [0, 1, 2, 3, 4, 5],
  architecture: "topk",
  width: 2048,
  k: 24,
  tokens: 900_000,
  batch_tokens: 1024,
  learning_rate: 4e-3,
  seed: 0,
} as const;

interface LayerMetrics {
  readonly layer: number;
  readonly [metric: string]: unknown;
}

/** Writes folder/layer{n}/ in SAELens layout and folder/metrics.json. `work` holds a throw-away service. */
export async function trainSaes(folder: string, work: string, tokens: number = SAE_JOB.tokens): Promise<void> {
  const data = resolve(work, "service");
  rmSync(data, { recursive: true, force: true });
  const service = await startEmbedded({ DATA_DIR: data, PORT: "0", LOG_LEVEL: "warn" }, line);
  try {
    await service.bundled;
    const api = createClient(service.url);
    const bar = progressBar("sae.train");
    const job = await api.job("sae.train", { ...SAE_JOB, tokens }, bar.show);
    bar.end(`${SAE_JOB.layers.length} layers`);
    const download = async (name: string, to: string): Promise<boolean> => {
      const artifact = job.artifacts.find((one) => one.name.endsWith(name));
      if (artifact) writeFileSync(to, await api.bytes(artifact.content_url));
      return artifact !== undefined;
    };
    const measured: LayerMetrics[] = [];
    for (const metrics of (job.metrics as { layers: LayerMetrics[] }).layers) {
      const { layer } = metrics;
      const raw = join(work, `layer${layer}`);
      const out = join(folder, `layer${layer}`);
      mkdirSync(raw, { recursive: true });
      mkdirSync(out, { recursive: true });
      await download(`-layer${layer}/cfg.json`, join(raw, "cfg.json"));
      await download(`-layer${layer}/sae_weights.safetensors`, join(raw, "sae_weights.safetensors"));
      await download(`-layer${layer}/feature_statistics.safetensors`, join(out, "feature_statistics.safetensors"));
      // Half the bytes in the repository; the metrics were measured before this rounding.
      const { sae } = await readSaelens(raw);
      await writeSaelens(out, sae, { modelName: SAE_JOB.model_id, layer, dtype: "float16" });
      const { sae_id: _, name: __, digest: ___, ...figures } = metrics;
      measured.push(figures as LayerMetrics);
    }
    writeFileSync(
      join(folder, "metrics.json"),
      `${JSON.stringify({ job: { ...SAE_JOB, tokens }, layers: measured }, null, 2)}\n`,
    );
    registerSaes(folder);
  } finally {
    await service.stop();
  }
}

/** Lists the saes in assets/manifest.json, so that the next start registers them. */
function registerSaes(folder: string): void {
  const path = join(folder, "..", "..", "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  manifest.saes = SAE_JOB.layers.map((layer) => ({
    name: `${RELEASE}-layer${layer}`,
    model: SAE_JOB.model_id,
    layer,
    directory: `saes/${RELEASE}/layer${layer}`,
  }));
  const rows = Object.entries(manifest).map(([key, entries]) => {
    const lines = (entries as object[]).map((entry) => `    ${JSON.stringify(entry)}`);
    return `  "${key}": [\n${lines.join(",\n")}\n  ]`;
  });
  writeFileSync(path, `{\n${rows.join(",\n")}\n}\n`);
}
