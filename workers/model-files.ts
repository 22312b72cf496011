/**
 * The files of a model before anything is computed with them: which they are, whether they fit each other, and
 * their digest. Everything wrong with them is told by name here, as a problem of the request.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fieldProblem, type Problem } from "../domain/problem.ts";
import { type DecoderConfig, ModelConfigError, parseDecoderConfig } from "../engine/llm/config.ts";
import { parameterSpecs } from "../engine/llm/parameters.ts";
import { SafetensorsError } from "../formats/safetensors.ts";
import { openSafetensorsSet, type SafetensorsSet } from "../formats/safetensors-index.ts";
import { type HashedFile, hashFile } from "./files.ts";

const required = ["config.json", "tokenizer.json"] as const;
const optional = [
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "model.safetensors.index.json",
] as const;

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

async function readConfig(folder: string): Promise<DecoderConfig> {
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
    return await openSafetensorsSet(folder);
  } catch (error) {
    if (error instanceof SafetensorsError) throw weightsProblem(error, folder);
    throw error;
  }
}

/** Paths of this machine stay out of what a client reads. */
export function weightsProblem(error: Error, folder: string): Problem {
  return fieldProblem("WEIGHTS_INVALID", "/source", error.message.replaceAll(`${folder}/`, ""));
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

/** sha256 of each file, with `step` called after each so that a cancel is seen between shards. */
export async function hashFiles(
  folder: string,
  names: readonly string[],
  step: () => Promise<void>,
): Promise<HashedFile[]> {
  const hashed: HashedFile[] = [];
  for (const name of names) {
    hashed.push(await hashFile(folder, name));
    await step();
  }
  return hashed;
}
