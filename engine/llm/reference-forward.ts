// The forward of a decoder as plain loops in float64, straight from the files: the oracle for the graph, and its documentation.

import { readSetFloat32, type SafetensorsSet } from "../../formats/safetensors-index.ts";
import type { DecoderConfig } from "./config.ts";
import { parameterNames } from "./parameters.ts";
import { inverseFrequencies } from "./rope.ts";

type Row = Float64Array;
type Weights = (name: string) => Promise<Float32Array>;

/**
 * Logits [V] of every position of one short text. Weights are read layer by layer, so memory stays at one tensor; time is
 * about a second per gigabyte of float32 weights and token.
 */
export async function referenceLogits(
  config: DecoderConfig,
  set: SafetensorsSet,
  ids: ArrayLike<number>,
): Promise<Row[]> {
  const weights: Weights = (name) => readSetFloat32(set, name);
  const names = parameterNames(config);
  const embedding = await weights(names.embedding);
  const { dModel } = config;
  let h: Row[] = Array.from(ids, (id) => Float64Array.from(embedding.subarray(id * dModel, (id + 1) * dModel)));
  for (let layer = 0; layer < config.layers; layer++) h = await block(config, weights, names.layer(layer), h);
  const norm = await weights(names.finalNorm);
  const head = config.tiedEmbeddings ? embedding : await weights(names.head);
  return h.map((row) => product(rmsNorm(row, norm, config.rmsEpsilon), head, null));
}

async function block(config: DecoderConfig, weights: Weights, prefix: string, h: Row[]): Promise<Row[]> {
  const between = add(h, await attention(config, weights, prefix, h));
  const norm = await weights(`${prefix}.post_attention_layernorm.weight`);
  const x = between.map((row) => rmsNorm(row, norm, config.rmsEpsilon));
  const gate = await linear(weights, `${prefix}.mlp.gate_proj`, config.mlpBias, x);
  const up = await linear(weights, `${prefix}.mlp.up_proj`, config.mlpBias, x);
  const hidden = gate.map((row, t) => row.map((g, i) => (g / (1 + Math.exp(-g))) * up[t]![i]!));
  return add(between, await linear(weights, `${prefix}.mlp.down_proj`, config.mlpBias, hidden));
}

async function attention(config: DecoderConfig, weights: Weights, prefix: string, h: Row[]): Promise<Row[]> {
  const { heads, kvHeads, headDim, inputBias, outputBias, rmsEpsilon } = config;
  const norm = await weights(`${prefix}.input_layernorm.weight`);
  const x = h.map((row) => rmsNorm(row, norm, rmsEpsilon));
  const at = (name: string) => `${prefix}.self_attn.${name}`;
  const projected = async (name: string, normName: string | null) => {
    const rows = await linear(weights, at(name), inputBias, x);
    const headNorm = normName && config.headNorm ? await weights(`${at(normName)}.weight`) : null;
    return rows.map((row, t) =>
      byHead(row, headDim, (head) =>
        normName ? rotate(headNorm ? rmsNorm(head, headNorm, rmsEpsilon) : head, t, config) : head,
      ),
    );
  };
  const [query, key, value] = [
    await projected("q_proj", "q_norm"),
    await projected("k_proj", "k_norm"),
    await projected("v_proj", null),
  ];
  const mixed = h.map((_, t) => {
    const out = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const shared = Math.floor(head / (heads / kvHeads));
      const scores = Array.from(
        { length: t + 1 },
        (_, s) => dot(query[t]![head]!, key[s]![shared]!) / Math.sqrt(headDim),
      );
      const highest = Math.max(...scores);
      const exps = scores.map((score) => Math.exp(score - highest));
      const total = exps.reduce((a, b) => a + b, 0);
      exps.forEach((exp, s) => {
        for (let d = 0; d < headDim; d++) out[head * headDim + d]! += (exp / total) * value[s]![shared]![d]!;
      });
    }
    return out;
  });
  return linear(weights, at("o_proj"), outputBias, mixed);
}

async function linear(weights: Weights, name: string, hasBias: boolean, rows: Row[]): Promise<Row[]> {
  const weight = await weights(`${name}.weight`);
  const bias = hasBias ? await weights(`${name}.bias`) : null;
  return rows.map((row) => product(row, weight, bias));
}

/** W x + b with W [out, in]. */
function product(x: Row, weight: Float32Array, bias: Float32Array | null): Row {
  return Float64Array.from({ length: weight.length / x.length }, (_, o) => {
    let sum = bias ? bias[o]! : 0;
    for (let i = 0, w = o * x.length; i < x.length; i++, w++) sum += weight[w]! * x[i]!;
    return sum;
  });
}

function rmsNorm(x: Row, weight: Float32Array, epsilon: number): Row {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + epsilon);
  return x.map((value, i) => value * scale * weight[i]!);
}

function byHead(row: Row, headDim: number, change: (head: Row) => Row): Row[] {
  return Array.from({ length: row.length / headDim }, (_, h) => change(row.slice(h * headDim, (h + 1) * headDim)));
}

function rotate(head: Row, position: number, config: DecoderConfig): Row {
  const half = head.length / 2;
  const out = head.slice();
  inverseFrequencies(config.rope).forEach((frequency, i) => {
    const [cos, sin] = [Math.cos(position * frequency), Math.sin(position * frequency)];
    out[i] = head[i]! * cos - head[i + half]! * sin;
    out[i + half] = head[i + half]! * cos + head[i]! * sin;
  });
  return out;
}

function dot(a: Row, b: Row): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function add(a: Row[], b: Row[]): Row[] {
  return a.map((row, t) => row.map((value, i) => value + b[t]![i]!));
}
