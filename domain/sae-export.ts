// Saes leave in the layouts that others read.
import { type Static, Type } from "typebox";
import { closed, IdOrName, oneOf } from "./schema.ts";

export const exportLayouts = ["saelens", "sparsify", "qwen_scope", "onnx"] as const;
export const exportPrecisions = ["float32", "float16", "bfloat16"] as const;

export const SaeExportInput = closed(
  {
    sae_ids: Type.Array(IdOrName, { minItems: 1, maxItems: 256, uniqueItems: true }),
    layout: oneOf(exportLayouts, {
      description:
        "saelens: {name}/cfg.json and weights, any rule; sparsify: layers.{n}/, rule topk; qwen_scope: SAE-Res-…/layer{n}.sae.pt, rule topk, one width and k; onnx: {name}/encoder.onnx and decoder.onnx with their weights, any rule",
    }),
    precision: Type.Optional(
      oneOf(exportPrecisions, {
        default: "float32",
        description: "the 16-bit types halve the files and round; onnx is float32",
      }),
    ),
  },
  { title: "SaeExportInput", examples: [{ sae_ids: ["qwen3-layer10"], layout: "sparsify" }] },
);
export type SaeExportInput = Static<typeof SaeExportInput>;

export const SaeExportResult = Type.Object(
  {
    layout: Type.String(),
    files: Type.Array(
      Type.Object({
        path: Type.String({ description: "where the file belongs, relative to one folder" }),
        artifact_id: Type.String(),
        sae_id: Type.String(),
        size_bytes: Type.Integer(),
      }),
    ),
  },
  { title: "SaeExportResult" },
);
export type SaeExportResult = Static<typeof SaeExportResult>;

/** The folder of a sparsify directory: the name of the module whose output it reads. */
export function sparsifyFolder(layer: number): string {
  return `layers.${layer}`;
}

export function qwenScopeFile(layer: number): string {
  return `layer${layer}.sae.pt`;
}

/** Architectures whose finished saes keep the k largest of a token; the others end with a threshold per feature. */
const topkArchitectures: readonly string[] = ["topk", "matryoshka_topk"];

export function canExport(architecture: string, layout: SaeExportInput["layout"]): boolean {
  return layout === "saelens" || layout === "onnx" || topkArchitectures.includes(architecture);
}
