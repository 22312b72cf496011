/** Which runtime and instruction set computed something. Equal names promise equal bits on the CPU. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { instructionSet } from "./instruction-set.ts";

const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
const instructions = instructionSet();
const version = (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;

export function runtimeName(device: string): string {
  return `onnxruntime-${version}-${device}-${instructions}`;
}
