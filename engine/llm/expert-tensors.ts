// The tensors of a checkpoint with every expert by itself.

import { openSafetensorsSet, type SafetensorsSet } from "../../formats/safetensors-index.ts";

type Entry = SafetensorsSet["tensors"] extends ReadonlyMap<string, infer Tensor> ? Tensor : never;

/** openSafetensorsSet, after which both layouts of experts look alike. */
export async function openCheckpointTensors(folder: string): Promise<SafetensorsSet> {
  return expertsApart(await openSafetensorsSet(folder));
}

/**
 * Adds to the stacked layout of transformers 5, `experts.gate_up_proj` [E, 2·width, D] (gates above ups) and `experts.down_proj`
 * [E, D, width], the tensors of the layout of single experts, `experts.{e}.gate_proj.weight` and so on: each is a range of
 * the stack's own bytes. Tensors that are stored already stay as they are.
 */
export function expertsApart(set: SafetensorsSet): SafetensorsSet {
  const tensors = new Map(set.tensors);
  for (const [name, stack] of set.tensors) {
    for (const entry of partsOfStack(name, stack)) if (!tensors.has(entry.name)) tensors.set(entry.name, entry);
  }
  return { ...set, tensors };
}

function partsOfStack(name: string, stack: Entry): Entry[] {
  const [, prefix, kind] = /^(.*\.mlp\.experts)\.(gate_up_proj|down_proj)$/.exec(name) ?? [];
  const [experts = 0, rows = 0, columns = 0] = stack.shape;
  const projections = kind === "gate_up_proj" ? ["gate_proj", "up_proj"] : ["down_proj"];
  if (prefix === undefined || stack.shape.length !== 3 || rows % projections.length !== 0) return [];
  const lengthBytes = stack.lengthBytes / (experts * projections.length);
  return Array.from({ length: experts }, (_, e) =>
    projections.map((projection, p) => ({
      ...stack,
      name: `${prefix}.${e}.${projection}.weight`,
      shape: [rows / projections.length, columns],
      offset: stack.offset + (e * projections.length + p) * lengthBytes,
      lengthBytes,
    })),
  ).flat();
}
