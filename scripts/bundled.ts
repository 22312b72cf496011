// Registers what assets/manifest.json lists (models, saes, datasets) in the workspace `default`, once: what has its name
// already is left alone, and what an interrupted start has queued is waited for.
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { storeDataset } from "../api/dataset-intake.ts";
import { newId } from "../domain/id.ts";
import { readDataset } from "../formats/dataset.ts";
import { defaultWorkspaceName } from "../platform/bootstrap.ts";
import type { Json } from "../platform/jobs.ts";
import type { Platform } from "../platform/platform.ts";

interface Manifest {
  readonly models: readonly { readonly name: string; readonly directory: string }[];
  readonly saes: readonly {
    readonly name: string;
    readonly model: string;
    readonly layer: number;
    readonly directory: string;
  }[];
  readonly datasets: readonly {
    readonly name: string;
    readonly file: string;
    readonly mapping?: Record<string, string>;
  }[];
}

const IMPORT_TIMEOUT_MS = 10 * 60 * 1000;

/** Null: the folder has no manifest, so there is nothing to register. */
export async function readManifest(assets: string): Promise<Manifest | null> {
  const text = await readFile(join(assets, "manifest.json"), "utf8").catch(() => null);
  return text === null ? null : (JSON.parse(text) as Manifest);
}

/** Needs a batch worker. `say` hears of each thing that is new; a thing that fails is an error naming it. */
export async function registerBundled(
  platform: Platform,
  assets: string,
  manifest: Manifest,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { id: workspaceId } = await platform.db.workspace.findUniqueOrThrow({ where: { name: defaultWorkspaceName } });
  const named = (name: string) => ({ where: { workspace_id_name: { workspace_id: workspaceId, name } } });
  const directory = (path: string) => ({ type: "directory", path: join(assets, path) });

  async function runJob(kind: string, name: string, input: Json): Promise<void> {
    const path = { path: ["name"], equals: name };
    const earlier = await platform.db.job.findFirst({
      where: { workspace_id: workspaceId, kind, state: { in: ["queued", "running"] }, input: path },
    });
    const id = earlier?.id ?? newId("job");
    // Ahead of whatever somebody has queued meanwhile: they are short, and the others may need them.
    const job = { id, workspaceId, kind, input, priority: 10 };
    if (!earlier) await platform.db.$transaction((tx) => platform.jobs.create(tx, job));
    const row = await platform.jobs.waitForEnd(id, IMPORT_TIMEOUT_MS, signal);
    if (signal.aborted) return;
    if (row?.state !== "succeeded") throw new Error(`${kind} of ${name}: ${JSON.stringify(row?.error ?? row?.state)}`);
    say(`registered ${kind.split(".")[0]} ${name}`);
  }

  for (const { name, file, mapping } of manifest.datasets) {
    if (signal.aborted || (await platform.db.dataset.findUnique(named(name)))) continue;
    const content = createReadStream(join(assets, file));
    const samples = readDataset(content, { fileName: basename(file), ...(mapping ? { mapping } : {}) });
    const source = { type: "bundled", file };
    await storeDataset(platform, { workspaceId } as Parameters<typeof storeDataset>[1], { name, samples, source });
    say(`registered dataset ${name}`);
  }
  for (const { name, directory: path } of manifest.models) {
    if (signal.aborted || (await platform.db.model.findUnique(named(name)))) continue;
    await runJob("model.import", name, { name, source: directory(path), precision: "float32" });
  }
  for (const { name, model, layer, directory: path } of manifest.saes) {
    if (signal.aborted || (await platform.db.sae.findUnique(named(name)))) continue;
    await runJob("sae.import", name, { name, model_id: model, layer, layout: "saelens", source: directory(path) });
  }
}
