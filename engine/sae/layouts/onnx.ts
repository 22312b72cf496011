// An sae as two ONNX graphs for other runtimes, with the weights beside them. Written only: there is nothing to learn
// about an sae from a graph that anybody may have drawn.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { StoredTensor } from "../../../formats/stored-tensor.ts";
import { createSafetensorsFile, type TensorSpec } from "../../../formats/tensor-file.ts";
import { Graph, type Value } from "../../onnx/graph.ts";
import { modelBytes } from "../../onnx/serialize.ts";
import { greater, relu, where } from "../../ops/elementwise.ts";
import { scatterElements } from "../../ops/indexing.ts";
import { gemm } from "../../ops/matmul.ts";
import { fill } from "../../ops/shape.ts";
import { topK } from "../../ops/topk.ts";
import type { SparseAutoencoder } from "../architecture.ts";
import { asReader, type SaeReader } from "./sae-reader.ts";
import { copyFeatures, type WriteSteps } from "./sae-writer.ts";

export const onnxFiles = { encoder: "encoder.onnx", decoder: "decoder.onnx", weights: "weights.safetensors" } as const;

/**
 * Writes encoder.onnx (`x` [B, D] → `acts` [B, F], zero where a feature is not active), decoder.onnx (`acts` → `xhat` [B, D]) and
 * weights.safetensors, into which both point as external data: the three files belong into one folder. float32; B is free.
 */
export async function writeOnnx(
  folder: string,
  sae: SparseAutoencoder | SaeReader,
  options: WriteSteps = {},
): Promise<void> {
  const reader = asReader(sae);
  const { dModel, width, rule } = reader;
  const specs: TensorSpec[] = [
    { name: "W_enc", dtype: "F32", shape: [width, dModel] },
    { name: "b_enc", dtype: "F32", shape: [width] },
    { name: "W_dec", dtype: "F32", shape: [width, dModel] },
    { name: "b_dec", dtype: "F32", shape: [dModel] },
  ];
  if (rule.kind === "jumprelu") specs.push({ name: "threshold", dtype: "F32", shape: [width] });
  await mkdir(folder, { recursive: true });
  const file = await createSafetensorsFile(join(folder, onnxFiles.weights), specs);
  const tensor = (name: string) => file.tensors.get(name)!;
  const graphs = { encoder: encoderGraph(reader, tensor), decoder: decoderGraph(reader, tensor) };
  await copyFeatures(
    reader,
    file,
    {
      W_enc_FD: tensor("W_enc"),
      b_enc_F: tensor("b_enc"),
      W_dec_FD: tensor("W_dec"),
      b_dec_D: tensor("b_dec"),
      ...(rule.kind === "jumprelu" ? { threshold_F: tensor("threshold") } : {}),
    },
    options,
  );
  await writeFile(join(folder, onnxFiles.encoder), modelBytes(graphs.encoder));
  await writeFile(join(folder, onnxFiles.decoder), modelBytes(graphs.decoder));
}

type Stored = (name: string) => StoredTensor;

function weight(graph: Graph, name: string, stored: Stored): Value {
  const { shape, offset } = stored(name);
  const lengthBytes = 4 * shape.reduce((product, size) => product * size, 1);
  return graph.external(name, "float32", shape, { file: onnxFiles.weights, offset, lengthBytes });
}

function encoderGraph({ dModel, width, rule }: SaeReader, stored: Stored): Graph {
  const graph = new Graph("sae-encoder");
  const x_BD = graph.input("x", "float32", ["B", dModel]);
  const W_enc_FD = weight(graph, "W_enc", stored);
  const pre_BF = gemm(x_BD, W_enc_FD, { bias: weight(graph, "b_enc", stored), transposeB: true });
  switch (rule.kind) {
    case "topk": {
      const { values, indices } = topK(pre_BF, rule.k);
      const zeros_BF = fill(graph, ["B", width], 0, "float32");
      graph.output(scatterElements(zeros_BF, indices, relu(values), 1), "acts");
      return graph;
    }
    case "jumprelu": {
      // Below a negative threshold the rule still keeps only what is > 0.
      const z_BF = relu(pre_BF);
      graph.output(where(greater(pre_BF, weight(graph, "threshold", stored)), z_BF, 0), "acts");
      return graph;
    }
    case "relu":
      graph.output(relu(pre_BF), "acts");
      return graph;
  }
}

function decoderGraph({ width }: SaeReader, stored: Stored): Graph {
  const graph = new Graph("sae-decoder");
  const acts_BF = graph.input("acts", "float32", ["B", width]);
  const W_dec_FD = weight(graph, "W_dec", stored);
  graph.output(gemm(acts_BF, W_dec_FD, { bias: weight(graph, "b_dec", stored) }), "xhat");
  return graph;
}
