// The inference graph of a decoder: tokens and a key/value cache in; logits, new keys and values, and taps out; with steering edits.
//
// Each block is the branch of an If that `first_layer` and `last_layer` open, so that harvesting stops after the highest tap and a
// forward can resume from a given residual. The measurement behind that choice is in docs/numerics/inference.md.

import { type DType, type FileRange, Graph, type Value } from "../onnx/graph.ts";
import { ifElse } from "../ops/control.ts";
import { add, and, cast, cos, equal, greater, less, lessOrEqual, mul, sin, where } from "../ops/elementwise.ts";
import { gather, pad, slice } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/norm.ts";
import { concat, fill, identity, range, reshape, sizeOf, squeeze, transpose, unsqueeze } from "../ops/shape.ts";
import { softmax } from "../ops/softmax.ts";
import { type BlockContext, decoderBlock, sharedReshape } from "./block.ts";
import type { DecoderConfig } from "./config.ts";
import { applyEdits, type EditInputs, editInputs, editLanes, openGates } from "./edit-graph.ts";
import { linear } from "./linear.ts";
import { blockWeights, type Parameters, parameterNames, parameterSpecs } from "./parameters.ts";
import { inverseFrequencies } from "./rope.ts";

/** Where a stored parameter lies and in which type. */
export interface StoredParameter {
  readonly dtype: DType;
  readonly where: FileRange;
}

/** Added to the score of a key that must not be seen: its probability becomes exactly 0. */
const hidden = -1e30;

/**
 * inputs
 *   `ids` [S, T] int64            new tokens
 *   `past_lengths` [S] int64      tokens already in each sequence's cache
 *   `past_key.{l}` [S, kvHeads, headDim, P], `past_value.{l}` [S, kvHeads, P, headDim]   finite beyond past_lengths
 *   `padding` [1] int64           empty key columns after the new tokens: they fix the order of sums
 *   `logit_rows` [R] int64        rows of the flattened [S·T] that get logits; none: the head is not run
 *   `first_layer`, `last_layer`   int64 scalars, inclusive; blocks outside are not run
 *   `residual` [S·T or 0, D]      the residual stream before block first_layer, read when first_layer > 0
 *   edits and gates: edit-graph.ts
 * outputs
 *   `logits` [R, V], `key.{l}` [S, kvHeads, headDim, T], `value.{l}` [S, kvHeads, T, headDim], `resid_post.{l}` [S·T, D] after edits,
 *   `edit_strength.{l}` [C_l, S, T, 16], `gate_state` [C, S, T, 16]
 */
export function buildInferenceGraph(config: DecoderConfig, stored: (name: string) => StoredParameter): Graph {
  const graph = new Graph("inference");
  const { kvHeads, headDim, layers, dModel } = config;
  const ids = graph.input("ids", "int64", ["S", "T"]);
  const pastLengths = graph.input("past_lengths", "int64", ["S"]);
  const padding = graph.input("padding", "int64", [1]);
  const logitRows = graph.input("logit_rows", "int64", ["R"]);
  const firstLayer = graph.input("first_layer", "int64", []);
  const lastLayer = graph.input("last_layer", "int64", []);
  const residual = graph.input("residual", "float32", ["N", dModel]);
  const past = Array.from({ length: layers }, (_, layer) => ({
    key: graph.input(`past_key.${layer}`, "float32", ["S", kvHeads, headDim, "P"]),
    value: graph.input(`past_value.${layer}`, "float32", ["S", kvHeads, "P", headDim]),
  }));
  const edits = editInputs(graph, config);
  const { parameters, embedding } = storedParameters(graph, config, stored);
  const shared = sharedContext(graph, config, ids, pastLengths, padding);

  const embedded = () => [cast(reshape(gather(embedding, ids), ["S*T", dModel]), "float32")];
  let h = ifElse(equal(firstLayer, constantLike(firstLayer, 0)), embedded, () => [identity(residual)], {
    shapes: [["S*T", dModel]],
  })[0]!;
  let gates = fill(graph, ["C", "S", "T", editLanes], 1, "float32");
  for (let layer = 0; layer < layers; layer++) {
    const stream = { h, gates };
    const runs = and(
      lessOrEqual(firstLayer, constantLike(firstLayer, layer)),
      lessOrEqual(constantLike(firstLayer, layer), lastLayer),
    );
    const results = graph.scope(`layer${layer}`, () =>
      ifElse(
        runs,
        () => steeredBlock(stream, layer, config, parameters, shared, past[layer]!, edits),
        () => skippedBlock(stream, config),
        {
          shapes: [
            h.shape,
            gates.shape,
            ["S", kvHeads, headDim, "T"],
            ["S", kvHeads, "T", headDim],
            [`C${layer}`, "S", "T", editLanes],
          ],
        },
      ),
    );
    [h, gates] = [results[0]!, results[1]!];
    graph.output(h, `resid_post.${layer}`);
    graph.output(results[2]!, `key.${layer}`);
    graph.output(results[3]!, `value.${layer}`);
    graph.output(results[4]!, `edit_strength.${layer}`);
  }
  graph.output(gates, "gate_state");
  graph.output(logits(h, logitRows, config, parameters), "logits");
  return graph;
}

/** Weights as external data, in the type of the checkpoint; the runtime folds the casts when it opens the graph. */
function storedParameters(
  graph: Graph,
  config: DecoderConfig,
  stored: (name: string) => StoredParameter,
): { parameters: Parameters; embedding: Value } {
  const names = parameterNames(config);
  const raw = new Map<string, Value>();
  const converted = new Map<string, Value>();
  for (const { name, shape } of parameterSpecs(config)) {
    const { dtype, where } = stored(name);
    const value = graph.external(name, dtype, shape, where);
    raw.set(name, value);
    // Rows are gathered from the stored embedding and cast after: a float32 copy of it exists only where the tied head packs one.
    if (name !== names.embedding) converted.set(name, cast(value, "float32"));
  }
  const embedding = raw.get(names.embedding)!;
  if (config.tiedEmbeddings) converted.set(names.head, cast(embedding, "float32"));
  return { parameters: (name) => converted.get(name)!, embedding };
}

interface Stream {
  readonly h: Value;
  readonly gates: Value;
}

interface Past {
  readonly key: Value;
  readonly value: Value;
}

function steeredBlock(
  { h, gates }: Stream,
  layer: number,
  config: DecoderConfig,
  parameters: Parameters,
  shared: SharedContext,
  past: Past,
  edits: EditInputs,
): Value[] {
  const fresh: Value[] = [];
  const context: BlockContext = {
    ...shared,
    attend(query, key, value) {
      const columns = transpose(key, [0, 1, 3, 2]);
      fresh.push(columns, value);
      return attendCached(query, columns, value, past, shared, config);
    },
  };
  const plain = decoderBlock(h, blockWeights(config, parameters, layer), config, context);
  const opened = openGates(plain, gates, layer, edits, shared.reshape);
  const { steered, strength } = applyEdits(plain, opened, layer, edits, shared.reshape);
  return [steered, opened, fresh[0]!, fresh[1]!, strength];
}

function skippedBlock({ h, gates }: Stream, { kvHeads, headDim }: DecoderConfig): Value[] {
  const nothing = (shape: number[]) => h.graph.current.constant(new Float32Array(), "float32", shape);
  return [
    identity(h),
    identity(gates),
    nothing([0, kvHeads, headDim, 0]),
    nothing([0, kvHeads, 0, headDim]),
    nothing([0, 0, 0, editLanes]),
  ];
}

interface SharedContext extends Omit<BlockContext, "attend"> {
  /** [S, 1, 1, 1, P] and [T, K]: 0 where a key may be seen, very negative elsewhere. */
  readonly pastMask: Value;
  readonly newMask: Value;
  readonly padding: Value;
  /** P as an int64 vector of length 1. */
  readonly pastColumns: Value;
}

function sharedContext(
  graph: Graph,
  config: DecoderConfig,
  ids: Value,
  pastLengths: Value,
  padding: Value,
): SharedContext {
  const tokens = range(graph, "T");
  const positions = cast(add(unsqueeze(pastLengths, [1]), unsqueeze(tokens, [0])), "float32");
  const frequencies = graph.constant(inverseFrequencies(config.rope), "float32", [1, 1, 1, config.rope.dims / 2]);
  const angles = mul(unsqueeze(positions, [1, 3]), frequencies);
  const seenPast = less(unsqueeze(range(graph, "P"), [0]), unsqueeze(pastLengths, [1]));
  const columns = rangeTo(add(sizeOf(graph, "T"), padding), "K");
  const seenNew = lessOrEqual(unsqueeze(columns, [0]), unsqueeze(tokens, [1]));
  const mask = (seen: Value) => where(seen, graph.constant(0, "float32", []), hidden);
  return {
    sequences: ids.shape[0]!,
    positions: ids.shape[1]!,
    cos: cos(angles),
    sin: sin(angles),
    reshape: sharedReshape(graph),
    pastMask: unsqueeze(mask(seenPast), [1, 2, 3]),
    newMask: mask(seenNew),
    padding,
    pastColumns: sizeOf(graph, "P"),
  };
}

/** 0, 1, … as int64 up to a length known only at run time. */
function rangeTo(limit: Value, size: string): Value {
  const home = limit.graph.current;
  const inputs = [home.constant(0, "int64", []), squeeze(limit, [0]), home.constant(1, "int64", [])];
  return home.node("Range", inputs, [{ dtype: "int64", shape: [size] }])[0]!;
}

/**
 * softmax(q·[past keys | new keys] + masks)·[past values | new values] without joining keys or values: only scores are joined, which
 * for one new token are smaller than the cache by a factor of headDim.
 */
function attendCached(
  query: Value,
  key: Value,
  value: Value,
  past: Past,
  shared: SharedContext,
  { kvHeads, heads }: DecoderConfig,
): Value {
  const group = heads / kvHeads;
  const paddedKey = pad(key, 3, 0, shared.padding, 0, "K");
  const paddedValue = pad(value, 2, 0, shared.padding, 0, "K");
  const rows = query.shape[2]!;
  const split = (scores: Value, columns: string) => shared.reshape(scores, ["S", kvHeads, group, "T", columns]);
  const join = (scores: Value, columns: string) => shared.reshape(scores, ["S", kvHeads, rows, columns]);
  const before = add(split(matMul(query, past.key), "P"), shared.pastMask);
  const within = add(split(matMul(query, paddedKey), "K"), shared.newMask);
  const probabilities = softmax(concat([before, within], -1), -1);
  const onPast = join(slice(probabilities, -1, 0, shared.pastColumns, "P"), "P");
  const onNew = join(slice(probabilities, -1, shared.pastColumns, undefined, "K"), "K");
  return add(matMul(onPast, past.value), matMul(onNew, paddedValue));
}

/** norm(h[rows])·Eᵀ, or nothing when no row is asked for. */
function logits(h: Value, rows: Value, config: DecoderConfig, parameters: Parameters): Value {
  const { finalNorm, head } = parameterNames(config);
  const any = squeeze(greater(sizeOf(h.graph, "R"), constantLike(rows, 0)), [0]);
  const picked = () => {
    const normed = rmsNorm(gather(h, rows), parameters(finalNorm), config.rmsEpsilon);
    return [linear(normed, { weight: parameters(head), bias: null })];
  };
  const none = () => [h.graph.current.constant(new Float32Array(), "float32", [0, config.vocabulary])];
  return ifElse(any, picked, none, { shapes: [["R", config.vocabulary]] })[0]!;
}

function constantLike(like: Value, number: number): Value {
  return like.graph.current.constant(number, like.dtype, []);
}
