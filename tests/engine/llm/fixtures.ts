// The random checkpoints of tests/fixtures/models with the numbers that the transformers library gives for them.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type DecoderConfig, parseDecoderConfig } from "../../../engine/llm/config.ts";
import { openSafetensors, type SafetensorsFile } from "../../../formats/safetensors.ts";

export const fixtureNames = [
  "qwen3-tied-f32",
  "qwen3-untied-bf16-sharded",
  "qwen3-gqa-f16",
  "llama-f16",
  "qwen2-bf16",
  "qwen3-5-text-tied-f32",
  "qwen3-5-multimodal-bf16",
  "qwen3-moe-bf16",
  "qwen3-moe-raw-f16",
  "qwen3-5-moe-f16",
  "mistral-window-f16",
  "qwen2-yarn-window-bf16",
] as const;

export type FixtureName = (typeof fixtureNames)[number];

export interface EditRecord {
  layer: number;
  op: "add" | "set" | "scale" | "ablate" | "project_out";
  value: number;
  positions: number[];
  bias: number;
  threshold: number;
  gate?: { layer: number; above: number; bias: number; threshold: number };
}

export interface Reference {
  prompts: number[][];
  greedy: number[][];
  steering: Record<string, EditRecord[]>;
}

export function fixtureFolder(name: FixtureName): string {
  return fileURLToPath(new URL(`../../fixtures/models/${name}`, import.meta.url));
}

export function readJson<T>(name: FixtureName, file: string): T {
  return JSON.parse(readFileSync(`${fixtureFolder(name)}/${file}`, "utf8")) as T;
}

export function fixtureConfig(name: FixtureName): DecoderConfig {
  return parseDecoderConfig(readJson(name, "config.json"));
}

export function referenceNumbers(name: FixtureName): Promise<SafetensorsFile> {
  return openSafetensors(`${fixtureFolder(name)}/reference.safetensors`);
}

/** max |actual − expected| / max |expected|, with the place of the worst element for the message. */
export function relativeError(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { error: number; worst: string } {
  if (actual.length !== expected.length)
    return { error: Infinity, worst: `${actual.length} numbers, expected ${expected.length}` };
  let [worst, difference, scale] = [0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i]! - expected[i]!);
    if (!(d <= difference)) [worst, difference] = [i, d];
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return { error: difference / scale, worst: `[${worst}]: ${actual[worst]} instead of ${expected[worst]}` };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
