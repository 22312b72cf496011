// Files on their way to becoming datasets: looked at by the API, shown, mended, sent.
import { signal } from "@preact/signals";
import type { Dataset } from "../api/catalog.ts";
import { idempotencyKey, type Schemas } from "../api/client.ts";
import { type ProblemDetails, problemOf } from "../api/problem.ts";
import { sendForm } from "../api/send-file.ts";
import { chosenDatasets } from "./setup-state.ts";

export type Preview = Schemas["DatasetPreview"];

export interface PendingFile {
  readonly key: string;
  readonly file: File;
  readonly name: string;
  /** null: not looked at yet */
  readonly preview: Preview | null;
  readonly looking: boolean;
  readonly mapping: Readonly<Record<string, string>>;
  /** "": as recognised */
  readonly template: string;
  /** 0 to 1 while it is being sent */
  readonly sent: number | null;
  readonly problem: ProblemDetails | null;
}

export const pendingFiles = signal<readonly PendingFile[]>([]);

const lookedAtBytes = 2 ** 20;

export async function addFiles(files: readonly File[]): Promise<void> {
  const added = files.map((file) => ({
    key: idempotencyKey(),
    file,
    name: nameFor(file.name),
    preview: null,
    looking: false,
    mapping: {},
    template: "",
    sent: null,
    problem: null,
  }));
  pendingFiles.value = [...pendingFiles.value, ...added];
  for (const { key } of added) await look(key);
}

/** Whether nothing stands in the way of sending it. */
export const isReady = ({ preview, looking, sent }: PendingFile): boolean =>
  preview !== null && preview.problem === null && !looking && sent === null;

/** One after the other, those that are ready. */
export async function sendAll(): Promise<void> {
  for (const pending of pendingFiles.value) if (isReady(pending)) await send(pending.key);
}

export function removeFile(key: string): void {
  pendingFiles.value = pendingFiles.value.filter((pending) => pending.key !== key);
}

export function change(key: string, changes: Partial<PendingFile>): void {
  pendingFiles.value = pendingFiles.value.map((one) => (one.key === key ? { ...one, ...changes } : one));
}

const find = (key: string) => pendingFiles.value.find((pending) => pending.key === key);

/** Asks the API how the file reads with the mapping and template chosen so far. */
export async function look(key: string): Promise<void> {
  const pending = find(key);
  if (pending === undefined) return;
  change(key, { looking: true, problem: null });
  const { file } = pending;
  // The directory of a Parquet file is at its end.
  const whole = file.size <= lookedAtBytes || file.name.endsWith(".parquet");
  const form = formOf(pending);
  form.set("partial", String(!whole));
  form.set("file", whole ? file : file.slice(0, lookedAtBytes), file.name);
  try {
    change(key, { preview: await sendForm<Preview>("/v1/datasets/preview", form), looking: false });
  } catch (error) {
    change(key, { problem: problemOf(error), looking: false });
  }
}

/** Makes a dataset of the file and chooses it; the file's card goes. */
export async function send(key: string): Promise<Dataset | null> {
  const pending = find(key);
  if (pending === undefined) return null;
  change(key, { sent: 0, problem: null });
  const form = formOf(pending);
  form.set("name", pending.name);
  form.set("file", pending.file, pending.file.name);
  try {
    const dataset = await sendForm<Dataset>("/v1/datasets", form, {
      headers: { "idempotency-key": idempotencyKey() },
      progress: (share) => change(key, { sent: share }),
    });
    chosenDatasets.value = [...chosenDatasets.value, dataset.id];
    removeFile(key);
    return dataset;
  } catch (error) {
    change(key, { sent: null, problem: problemOf(error) });
    return null;
  }
}

function formOf({ mapping, template }: PendingFile): FormData {
  const form = new FormData();
  if (Object.keys(mapping).length > 0) form.set("mapping", JSON.stringify(mapping));
  if (template !== "") form.set("template", template);
  return form;
}

/** "GSM8K test (1).jsonl.gz" → "gsm8k-test-1" */
export function nameFor(fileName: string): string {
  const stem = fileName.replace(/\.gz$/i, "").replace(/\.(jsonl?|ndjson|csv|tsv|parquet|txt)$/i, "");
  const name = stem
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+|-+$/g, "");
  return name.slice(0, 64) || "benchmark";
}
