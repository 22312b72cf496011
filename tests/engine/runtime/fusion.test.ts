import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { afterAll, describe, expect, it } from "vitest";
import { Graph, type Value } from "../../../engine/onnx/graph.ts";
import { decodeModel } from "../../../engine/onnx/messages.ts";
import { modelBytes } from "../../../engine/onnx/serialize.ts";
import { gelu, silu } from "../../../engine/ops/elementwise.ts";
import { matMul } from "../../../engine/ops/matmul.ts";
import { layerNorm, rmsNorm } from "../../../engine/ops/norm.ts";
import { transpose } from "../../../engine/ops/shape.ts";

const folder = mkdtempSync(join(tmpdir(), "fusion-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Operator types that are left after the runtime has optimised the graph. */
async function optimised(build: (x: Value, w: Value) => Value): Promise<string[]> {
  const graph = new Graph("fused");
  const x = graph.input("x", "float32", ["S", "T", 8]);
  graph.output(build(x, graph.constant(new Float32Array(8), "float32")), "y");
  const optimizedModelFilePath = join(folder, "optimised.onnx");
  const options = { graphOptimizationLevel: "all", optimizedModelFilePath, logSeverityLevel: 4 } as const;
  await (await InferenceSession.create(modelBytes(graph), options)).release();
  const model = decodeModel(readFileSync(optimizedModelFilePath)) as { graph: { node: { opType: string }[] } };
  return model.graph.node.map((node) => node.opType);
}

describe("the runtime recognises our forms and makes one kernel of each", () => {
  it.each<[string, (x: Value, w: Value) => Value, string]>([
    ["rmsNorm", (x, w) => rmsNorm(x, w, 1e-6), "SimplifiedLayerNormalization"],
    ["layerNorm", (x, w) => layerNorm(x, w, w, 1e-6), "LayerNormalization"],
    ["gelu", (x) => gelu(x), "Gelu"],
    ["silu", (x) => silu(x), "QuickGelu"],
    ["a product with a transposed matrix", (x) => matMul(x, transpose(x, [0, 2, 1])), "FusedMatMul"],
  ])("%s", async (_title, build, kernel) => {
    expect(await optimised(build)).toEqual([kernel]);
  });
});
