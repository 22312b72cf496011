// The forward of a decoder as plain loops in float64, straight from the files: the oracle for the graph, and its documentation.

import { readSetFloat32, type SafetensorsSet } from "../../formats/safetensors-index.ts";
import type { DecoderConfig } from "./config.ts";
import { parameterNames } from "./parameters.ts";
import { referenceDeltaNet } from "./reference-delta-net.ts";
import { referenceExperts, referenceFeedForward } from "./reference-experts.ts";
import { add, byHead, dot, linear, product, type Row, rmsNorm, type Weights } from "./reference-rows.ts";
import { inverseFrequencies, rotationGain } from "./rope.ts";

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
  for (let layer = 0; layer < config.layers; layer++) h = await block(config, weights, layer, h);
  const norm = await normFactor(config, weights, names.finalNorm);
  const head = config.tiedEmbeddings ? embedding : await weights(names.head);
  return h.map((row) => product(rmsNorm(row, norm, config.rmsEpsilon), head, null));
}

async function block(config: DecoderConfig, weights: Weights, layer: number, h: Row[]): Promise<Row[]> {
  const prefix = parameterNames(config).layer(layer);
  const inputNorm = await normFactor(config, weights, `${prefix}.input_layernorm.weight`);
  const input = h.map((row) => rmsNorm(row, inputNorm, config.rmsEpsilon));
  const mixed =
    config.layerKinds[layer]!.mixer === "attention"
      ? await attention(config, weights, layer, input)
      : await referenceDeltaNet(config, weights, `${prefix}.linear_attn`, input);
  const between = add(h, mixed);
  const norm = await normFactor(config, weights, `${prefix}.post_attention_layernorm.weight`);
  const x = between.map((row) => rmsNorm(row, norm, config.rmsEpsilon));
  const transformed =
    config.layerKinds[layer]!.feedForward === "experts"
      ? await referenceExperts(config.experts!, weights, `${prefix}.mlp`, x)
      : await referenceFeedForward(weights, `${prefix}.mlp`, config.mlpBias, x);
  return add(between, transformed);
}

async function normFactor(config: DecoderConfig, weights: Weights, name: string): Promise<Float32Array> {
  const weight = await weights(name);
  return config.centredNorms ? weight.map((w) => 1 + w) : weight;
}

async function attention(config: DecoderConfig, weights: Weights, layer: number, x: Row[]): Promise<Row[]> {
  const prefix = parameterNames(config).layer(layer);
  const { window } = config.layerKinds[layer]!;
  const { heads: headCount, kvHeads, headDim, inputBias, outputBias, outputGate, rmsEpsilon } = config;
  const at = (name: string) => `${prefix}.self_attn.${name}`;
  const heads = async (name: string, width: number) => {
    const rows = await linear(weights, at(name), inputBias, x);
    return rows.map((row) => byHead(row, width));
  };
  const placed = async (rows: Row[][], normName: string) => {
    const headNorm = config.headNorm ? await normFactor(config, weights, `${at(normName)}.weight`) : null;
    const normed = (head: Row) => (headNorm ? rmsNorm(head, headNorm, rmsEpsilon) : head);
    return rows.map((row, t) => row.map((head) => rotate(normed(head.subarray(0, headDim)), t, config)));
  };
  // A gated family's query heads have a second half, the gate.
  const queries = await heads("q_proj", outputGate ? 2 * headDim : headDim);
  const [query, key] = [await placed(queries, "q_norm"), await placed(await heads("k_proj", headDim), "k_norm")];
  const value = await heads("v_proj", headDim);
  const mixed = x.map((_, t) => {
    const out = new Float64Array(headCount * headDim);
    for (let head = 0; head < headCount; head++) {
      const shared = Math.floor((head * kvHeads) / headCount);
      const first = window === null ? 0 : Math.max(0, t + 1 - window);
      const scores = Array.from(
        { length: t + 1 - first },
        (_, s) => dot(query[t]![head]!, key[first + s]![shared]!) / Math.sqrt(headDim),
      );
      const highest = Math.max(...scores);
      const exps = scores.map((score) => Math.exp(score - highest));
      const total = exps.reduce((a, b) => a + b, 0);
      exps.forEach((exp, s) => {
        for (let d = 0; d < headDim; d++) out[head * headDim + d]! += (exp / total) * value[first + s]![shared]![d]!;
      });
      if (!outputGate) continue;
      for (let d = 0; d < headDim; d++) out[head * headDim + d]! /= 1 + Math.exp(-queries[t]![head]![headDim + d]!);
    }
    return out;
  });
  return linear(weights, at("o_proj"), outputBias, mixed);
}

function rotate(head: Row, position: number, { rope }: DecoderConfig): Row {
  const [half, gain] = [rope.dims / 2, rotationGain(rope)];
  const out = head.slice();
  inverseFrequencies(rope).forEach((frequency, i) => {
    const [cos, sin] = [gain * Math.cos(position * frequency), gain * Math.sin(position * frequency)];
    out[i] = head[i]! * cos - head[i + half]! * sin;
    out[i + half] = head[i + half]! * cos + head[i]! * sin;
  });
  return out;
}
