/** Which runtime computed something. Equal names on one instruction set promise equal bits on the CPU. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
const version = (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;

export function runtimeName(device: string): string {
  return `onnxruntime-${version}-${device}-${process.arch}`;
}
