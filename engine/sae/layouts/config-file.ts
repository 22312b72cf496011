// cfg.json, as several layouts have one.

import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

export const configFile = "cfg.json";

export type LayoutConfig = Readonly<Record<string, unknown>>;

export async function readLayoutConfig(folder: string): Promise<LayoutConfig> {
  const text = await readFile(join(folder, configFile), "utf8");
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw new RangeError(`${configFile} is not JSON: ${(error as Error).message}`);
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new RangeError(`${configFile} must be an object`);
  }
  return config as LayoutConfig;
}

export function sizeField(config: LayoutConfig, name: string): number {
  const value = config[name];
  if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
  throw new RangeError(`${configFile}: ${name} must be a positive integer, got ${JSON.stringify(value)}`);
}

/** Written last and moved into place: with it, the directory is complete. */
export async function writeLayoutConfig(folder: string, config: LayoutConfig): Promise<void> {
  const partial = join(folder, `${configFile}.partial`);
  await writeFile(partial, `${JSON.stringify(config, null, 2)}\n`);
  await rename(partial, join(folder, configFile));
}
