// One run of the inference graph: typed buffers in and out, no policy.

import type { Session } from "../runtime/session.ts";
import { type Tensor, tensor } from "../runtime/tensor.ts";
import type { DecoderConfig } from "./config.ts";
import { editLanes } from "./edit-graph.ts";
import { layerMemory, type MemoryArray } from "./layer-memory.ts";

/** Keys and values of earlier tokens for S sequences, per layer; positions beyond a sequence's length are finite filler. */
export interface CacheView {
  /** Columns per sequence: a multiple of 64. */
  readonly columns: number;
  /** [S, kvHeads, columns, headDim] */
  readonly keys: readonly Float32Array[];
  /** [S, kvHeads, columns, headDim] */
  readonly values: readonly Float32Array[];
  /** Of layers that are delta nets, instead: [S, valueHeads, keyDim, valueDim] and [S, kernel − 1, channels]. */
  readonly states: readonly Float32Array[];
  readonly convolutions: readonly Float32Array[];
}

/** The edits of a batch as the graph takes them: C chunks of 16 lanes per sequence, sorted by layer. See edit-graph.ts. */
export interface PackedEdits {
  readonly chunks: number;
  /** [layers + 1], in chunks. */
  readonly offsets: readonly number[];
  readonly gatedLayers: readonly boolean[];
  /** [C, S, 16, D] */
  readonly directions: Float32Array;
  readonly encoders: Float32Array;
  readonly gateEncoders: Float32Array;
  /** [C, S, 16] */
  readonly lanes: Readonly<Record<LaneName, Float32Array>>;
  /** [C, S, 16], −1 without gate */
  readonly gateLayer: Int32Array;
  /** [C, S, T, 16] */
  readonly mask: Float32Array;
}

export const laneNames = [
  "edit_bias",
  "edit_threshold",
  "edit_constant",
  "edit_by_activation",
  "edit_by_projection",
  "gate_bias",
  "gate_threshold",
  "gate_above",
] as const;

export type LaneName = (typeof laneNames)[number];

export interface ForwardInput {
  readonly sequences: number;
  /** New tokens of every sequence: shorter ones are padded at the end. */
  readonly tokens: number;
  /** [S]: how many of them are not padding, for layers whose memory padding would change. Absent: all. */
  readonly newLengths?: ArrayLike<number>;
  /** [S, T] */
  readonly ids: Int32Array;
  /** [S]; absent: nothing is cached. */
  readonly pastLengths?: ArrayLike<number>;
  readonly past?: CacheView;
  /** Rows of [S·T] whose logits are wanted. */
  readonly logitRows?: ArrayLike<number>;
  /** Inclusive; default all layers. */
  readonly firstLayer?: number;
  readonly lastLayer?: number;
  /** [S·T, D]: the residual stream before firstLayer, when that is above 0. */
  readonly residual?: Float32Array;
  readonly edits?: PackedEdits;
  /** Layers whose residual stream is wanted. */
  readonly taps?: readonly number[];
  /** Whether the new keys and values are wanted. */
  readonly cache?: boolean;
}

export interface ForwardResult {
  /** [R, V] */
  readonly logits: Float32Array;
  /** For each of `taps`: [S·T, D], after edits. */
  readonly taps: readonly Float32Array[];
  /** Per layer, when asked for: [S, kvHeads, T, headDim]. */
  readonly newKeys: readonly Float32Array[];
  readonly newValues: readonly Float32Array[];
  /** Of layers that are delta nets, instead, after the last real token: like CacheView. */
  readonly newStates: readonly Float32Array[];
  readonly newConvolutions: readonly Float32Array[];
  /** [S] as given. */
  readonly newLengths: ArrayLike<number> | null;
  /** With edits, [C, S, T, 16]: ‖change‖/‖h‖, and 1 where the gate was open. */
  readonly strength: Float32Array | null;
  readonly gates: Float32Array | null;
}

/** Scores are summed in groups of 64 columns: padding to it makes a row's sums independent of what it is batched with. */
export const columnGroup = 64;

export function forwardFeeds(config: DecoderConfig, input: ForwardInput): Record<string, Tensor> {
  const { sequences: S, tokens: T } = input;
  const { layers, dModel } = config;
  if (input.ids.length !== S * T) throw new RangeError(`ids: expected ${S} × ${T}, got ${input.ids.length}`);
  const int64 = (values: ArrayLike<number>, shape: number[]) =>
    tensor("int64", BigInt64Array.from(Array.from(values), BigInt), shape);
  // One new token is always run as one (decoding); more are always padded, so a token meets the same sums however it is batched.
  const padding = T === 1 ? 0 : (columnGroup - (T % columnGroup)) % columnGroup;
  const feeds: Record<string, Tensor> = {
    ids: int64(input.ids, [S, T]),
    past_lengths: int64(input.pastLengths ?? new Int32Array(S), [S]),
    padding: int64([padding], [1]),
    logit_rows: int64(input.logitRows ?? [], [input.logitRows?.length ?? 0]),
    first_layer: int64([input.firstLayer ?? 0], []),
    last_layer: int64([input.lastLayer ?? layers - 1], []),
    residual: tensor("float32", input.residual ?? new Float32Array(), [input.residual ? S * T : 0, dModel]),
  };
  if (config.deltaNet) feeds.new_lengths = int64(input.newLengths ?? new Int32Array(S).fill(T), [S]);
  return Object.assign(feeds, memoryFeeds(config, input), editFeeds(config, input));
}

const viewNames = { key: "keys", value: "values", state: "states", convolution: "convolutions" } as const;

function memoryFeeds(config: DecoderConfig, { sequences: S, past }: ForwardInput): Record<string, Tensor> {
  const columns = past?.columns ?? 0;
  const sizes: Readonly<Record<string, number>> = { S, P: columns };
  const feeds: Record<string, Tensor> = {};
  // Without a past the states are zeros; layers share them.
  let zeros = new Float32Array();
  const nothing = (count: number) => {
    if (zeros.length < count) zeros = new Float32Array(count);
    return zeros.subarray(0, count);
  };
  for (let layer = 0; layer < config.layers; layer++) {
    for (const { name, past: symbolic } of layerMemory(config, layer)) {
      const shape = symbolic.map((dim) => (typeof dim === "number" ? dim : sizes[dim]!));
      const count = shape.reduce((a, b) => a * b, 1);
      feeds[`past_${name}.${layer}`] = tensor("float32", past?.[viewNames[name]][layer] ?? nothing(count), shape);
    }
  }
  return feeds;
}

function editFeeds(
  { layers, dModel }: DecoderConfig,
  { sequences: S, tokens: T, edits }: ForwardInput,
): Record<string, Tensor> {
  const C = edits?.chunks ?? 0;
  const empty = new Float32Array();
  const float = (data: Float32Array | undefined, shape: number[]) => tensor("float32", data ?? empty, shape);
  const feeds: Record<string, Tensor> = {
    edit_offsets: tensor(
      "int64",
      BigInt64Array.from({ length: layers + 1 }, (_, l) => BigInt(edits?.offsets[l] ?? 0)),
      [layers + 1],
    ),
    gated_layers: tensor(
      "bool",
      Uint8Array.from({ length: layers }, (_, l) => (edits?.gatedLayers[l] ? 1 : 0)),
      [layers],
    ),
    gate_layer: tensor("int64", BigInt64Array.from(edits?.gateLayer ?? [], BigInt), [C, S, 1, editLanes]),
    edit_directions: float(edits?.directions, [C, S, editLanes, dModel]),
    edit_encoders: float(edits?.encoders, [C, S, editLanes, dModel]),
    gate_encoders: float(edits?.gateEncoders, [C, S, editLanes, dModel]),
    edit_mask: float(edits?.mask, [C, S, T, editLanes]),
  };
  for (const name of laneNames) feeds[name] = float(edits?.lanes[name], [C, S, 1, editLanes]);
  return feeds;
}

export async function runForward(session: Session, config: DecoderConfig, input: ForwardInput): Promise<ForwardResult> {
  const { taps = [], edits } = input;
  const layers = Array.from({ length: config.layers }, (_, layer) => layer);
  const edited = edits ? layers.filter((layer) => edits.offsets[layer]! < edits.offsets[layer + 1]!) : [];
  const wantsLogits = (input.logitRows?.length ?? 0) > 0;
  const fetch = [
    ...(wantsLogits ? ["logits"] : []),
    ...taps.map((layer) => `resid_post.${layer}`),
    ...(input.cache ? layers.flatMap((layer) => layerMemory(config, layer).map(({ name }) => `${name}.${layer}`)) : []),
    ...edited.map((layer) => `edit_strength.${layer}`),
    ...(edited.length > 0 ? ["gate_state"] : []),
  ];
  const out = await session.run(forwardFeeds(config, input), { fetch });
  const data = (name: string) => out[name]!.data as Float32Array;
  const nothing = new Float32Array();
  const remembered = (name: MemoryArray["name"]) =>
    input.cache ? layers.map((layer) => (out[`${name}.${layer}`] ? data(`${name}.${layer}`) : nothing)) : [];
  return {
    logits: wantsLogits ? data("logits") : new Float32Array(),
    taps: taps.map((layer) => data(`resid_post.${layer}`)),
    newKeys: remembered("key"),
    newValues: remembered("value"),
    newStates: remembered("state"),
    newConvolutions: remembered("convolution"),
    newLengths: input.newLengths ?? null,
    strength: edited.length > 0 ? concatenated(edited.map((layer) => data(`edit_strength.${layer}`))) : null,
    gates: edited.length > 0 ? data("gate_state") : null,
  };
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
