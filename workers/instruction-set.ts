/** Which vector instructions the kernels of the runtime find here: products made with others sum in another order. */
import { readFileSync } from "node:fs";
import { arch, cpus, platform } from "node:os";

/** From widest to narrowest, as ONNX Runtime's float32 kernels choose among them. */
const x64Levels = [
  ["avx512f", "avx512"],
  ["avx2", "avx2"],
  ["avx", "avx"],
] as const;

/** The level that a line of CPU flags, as Linux lists them, stands for. */
export function levelOf(flags: string): string {
  const held = new Set(flags.split(/\s+/));
  return x64Levels.find(([flag]) => held.has(flag))?.[1] ?? "sse";
}

export function instructionSet(): string {
  if (arch() !== "x64") return arch();
  if (platform() === "linux") {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
    if (flags !== undefined) return `x64-${levelOf(flags)}`;
  }
  // Elsewhere the model's name stands for what it can do: too strict rather than too lax.
  return `x64-${(cpus()[0]?.model ?? "unknown").toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`;
}
