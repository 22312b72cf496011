/**
 * The files of a model before anything is computed with them: which they are, whether they fit each other, and
 * their digest. Everything wrong with them is told by name here, as a problem of the request.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fieldProblem, isProblem, Problem } from "../domain/problem.ts";
import { type DecoderConfig, parseDecoderConfig } from "../engine/llm/config.ts";
import { ModelConfigError } from "../engine/llm/config-json.ts";
import { openCheckpointTensors } from "../engine/llm/expert-tensors.ts";
import { parameterSpecs } from "../engine/llm/parameters.ts";
import type { SafetensorsSet } from "../formats/safetensors-index.ts";
import { type HashedFile, hashFile } from "./files.ts";
import type { BlobFile } from "./records.ts";

const required = ["config.json", "tokenizer.json"] as const;
const optional = [
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "model.safetensors.index.json",
] as const;

/** Of what a model's folder holds besides its weights. */
export const modelFileNames: readonly string[] = [...required, ...optional];

export interface ModelFiles {
  readonly config: DecoderConfig;
  readonly weights: SafetensorsSet;
  /** Names in the folder that make up the model; whatever else lies there is not part of it. */
  readonly names: readonly string[];
}

/** Reads headers and configuration, never the weights themselves. */
export async function readModelFiles(folder: string): Promise<ModelFiles> {
  const present = new Set(await readdir(folder));
  for (const name of required) {
    if (!present.has(name)) throw fieldProblem("FILE_NOT_FOUND", "/source", `${name} is missing`);
  }
  const config = await readConfig(folder);
  const weights = await readWeights(folder, present);
  checkTensors(config, weights);
  const names: string[] = [...required, ...optional.filter((name) => present.has(name))];
  for (const file of weights.files) names.push(file.path.slice(folder.length + 1));
  return { config, weights, names };
}

export async function readConfig(folder: string): Promise<DecoderConfig> {
  const text = await readFile(join(folder, "config.json"), "utf8");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw fieldProblem("MODEL_UNSUPPORTED", "/source", `config.json is not JSON: ${(error as Error).message}`);
  }
  try {
    return parseDecoderConfig(json);
  } catch (error) {
    if (error instanceof ModelConfigError) throw fieldProblem("MODEL_UNSUPPORTED", "/source", error.message);
    throw error;
  }
}

async function readWeights(folder: string, present: ReadonlySet<string>): Promise<SafetensorsSet> {
  if (!present.has("model.safetensors") && !present.has("model.safetensors.index.json")) {
    const detail = "model.safetensors (or model.safetensors.index.json with its shards) is missing";
    throw fieldProblem("FILE_NOT_FOUND", "/source", detail);
  }
  try {
    return await openCheckpointTensors(folder);
  } catch (error) {
    throw openingProblem(error, folder);
  }
}

function checkTensors(config: DecoderConfig, weights: SafetensorsSet): void {
  for (const { name, shape } of parameterSpecs(config)) {
    const found = weights.tensors.get(name);
    if (!found) throw fieldProblem("TENSOR_MISSING", "/source", `tensor ${name} is missing`);
    if (found.shape.join() === shape.join()) continue;
    const detail = `tensor ${name} has shape [${found.shape.join(", ")}], config.json implies [${shape.join(", ")}]`;
    throw fieldProblem("WEIGHTS_INVALID", "/source", detail);
  }
}

/** sha256 of each file; `step` hears of the bytes done by files, and now and then within one, and may stop it all. */
export async function hashFiles(
  folder: string,
  names: readonly string[],
  step: (doneBytes: number, totalBytes: number) => Promise<void>,
): Promise<HashedFile[]> {
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const hashed: HashedFile[] = [];
  let done = 0;
  for (const name of names) {
    const file = await hashFile(folder, name, () => step(done, total));
    hashed.push(file);
    done += file.sizeBytes;
    await step(done, total);
  }
  return hashed;
}

/** Refuses a folder whose files are not those that were imported, as far as their sizes tell. */
export async function expectUnchanged(folder: string, files: readonly BlobFile[]): Promise<void> {
  for (const { path, sizeBytes } of files) {
    const found = await stat(join(folder, path)).catch(() => null);
    if (found?.size === sizeBytes) continue;
    const what = found ? `has ${found.size} bytes, it had ${sizeBytes}` : "is gone";
    throw new Problem(
      "FILE_NOT_FOUND",
      `${path} of the model's directory ${what} when the model was imported; import it again`,
    );
  }
}

/** Names by which the engine refuses files it has read; anything else is a bug. */
const refusals: Readonly<Record<string, "MODEL_UNSUPPORTED" | "WEIGHTS_INVALID">> = {
  ModelConfigError: "MODEL_UNSUPPORTED",
  TokenizerError: "MODEL_UNSUPPORTED",
  ChatTemplateError: "MODEL_UNSUPPORTED",
  SafetensorsError: "WEIGHTS_INVALID",
};

/** What the engine threw while it opened the folder, as a problem where it is one. */
export function openingProblem(error: unknown, folder: string): unknown {
  if (isProblem(error) || !(error instanceof Error)) return error;
  if (error.name === "ModelTooLargeError") return new Problem("MEMORY_INSUFFICIENT", error.message, { cause: error });
  const code = refusals[error.name];
  if (!code) return error;
  const detail = error.message.replaceAll(join(folder, "/"), "").replaceAll(folder, "the directory");
  return new Problem(code, detail, { errors: [{ pointer: "/source", detail }], cause: error });
}
