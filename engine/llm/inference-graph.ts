// The inference graph of a decoder: tokens and a key/value cache in; logits, new keys and values, and taps out; with steering edits.
//
// Each block is the branch of an If that `first_layer` and `last_layer` open, so that harvesting stops after the highest tap and a
// forward can resume from a given residual. The measurement behind that choice is in docs/numerics/inference.md.

import { type Dim, Graph, type Shape, type Value } from "../onnx/graph.ts";
import { productOfDims } from "../onnx/shape.ts";
import { ifElse } from "../ops/control.ts";
import { add, and, cast, cos, equal, greater, lessOrEqual, mul, sin } from "../ops/elementwise.ts";
import { gather, pad, slice } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { concat, fill, identity, range, reshape, sizeOf, squeeze, transpose, unsqueeze } from "../ops/shape.ts";
import { softmax } from "../ops/softmax.ts";
import { type AttentionMasks, attentionMasks } from "./attention-masks.ts";
import { decoderBlock } from "./block.ts";
import { type BlockContext, sharedReshape } from "./block-context.ts";
import type { DecoderConfig } from "./config.ts";
import { applyEdits, type EditInputs, editInputs, editLanes, openGates } from "./edit-graph.ts";
import { type RealTokens, type RecurrentMemory, realTokens, recurrenceFrom } from "./inference-recurrence.ts";
import { layerMemory, type MemoryArray } from "./layer-memory.ts";
import { headInPieces, logits } from "./output-layer.ts";
import type { Parameters } from "./parameter-spec.ts";
import { blockWeights, normFactor, parameterNames, parameterSpecs } from "./parameters.ts";
import { quantizedMatrix } from "./quantized-matrix.ts";
import { inverseFrequencies, rotationGain } from "./rope.ts";
import { sparseExperts } from "./sparse-experts.ts";
import type { Products, StoredWeights } from "./stored-weights.ts";

/**
 * inputs
 *   `ids` [S, T] int64            new tokens
 *   `past_lengths` [S] int64      tokens already in each sequence's cache
 *   `past_key.{l}`, `past_value.{l}` [S, kvHeads, P, headDim]   finite beyond past_lengths
 *   `past_state.{l}` [S, valueHeads, keyDim, valueDim], `past_convolution.{l}` [S, kernel − 1, channels]   instead, where l is a delta net
 *   `new_lengths` [S] int64       real ones among the T new tokens: only in models with delta nets
 *   `padding` [1] int64           empty key columns after the new tokens: they fix the order of sums
 *   `logit_rows` [R] int64        rows of the flattened [S·T] that get logits; none: the head is not run
 *   `first_layer`, `last_layer`   int64 scalars, inclusive; blocks outside are not run
 *   `residual` [S·T or 0, D]      the residual stream before block first_layer, read when first_layer > 0
 *   edits and gates: edit-graph.ts
 * outputs
 *   `logits` [R, V], `key.{l}`, `value.{l}` [S, kvHeads, T, headDim] (or `state.{l}`, `convolution.{l}`), `resid_post.{l}` [S·T, D] after edits,
 *   `edit_strength.{l}` [C_l, S, T, 16], `gate_state` [C, S, T, 16]
 */
export function buildInferenceGraph(
  config: DecoderConfig,
  weights: StoredWeights,
  products: Products = "float32",
): Graph {
  const graph = new Graph("inference");
  const { layers, dModel } = config;
  const ids = graph.input("ids", "int64", ["S", "T"]);
  const pastLengths = graph.input("past_lengths", "int64", ["S"]);
  const padding = graph.input("padding", "int64", [1]);
  const logitRows = graph.input("logit_rows", "int64", ["R"]);
  const firstLayer = graph.input("first_layer", "int64", []);
  const lastLayer = graph.input("last_layer", "int64", []);
  const residual = graph.input("residual", "float32", ["N", dModel]);
  const past = config.layerKinds.map((_, layer): Past => {
    const inputs = layerMemory(config, layer).map(({ name, past }) => [
      name,
      graph.input(`past_${name}.${layer}`, "float32", past),
    ]);
    return Object.fromEntries(inputs);
  });
  const edits = editInputs(graph, config);
  const { parameters, embedding, head } = storedParameters(graph, config, weights, products);
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
    const memory = layerMemory(config, layer);
    const results = graph.scope(`layer${layer}`, () =>
      ifElse(
        runs,
        () => steeredBlock(stream, layer, config, parameters, shared, past[layer]!, edits),
        () => skippedBlock(stream, memory),
        {
          shapes: [h.shape, gates.shape, ...memory.map(({ next }) => next), [`C${layer}`, "S", "T", editLanes]],
        },
      ),
    );
    [h, gates] = [results[0]!, results[1]!];
    graph.output(h, `resid_post.${layer}`);
    memory.forEach(({ name }, i) => {
      graph.output(results[2 + i]!, `${name}.${layer}`);
    });
    graph.output(results[4]!, `edit_strength.${layer}`);
  }
  graph.output(gates, "gate_state");
  const norm = normFactor(config, parameters(parameterNames(config).finalNorm));
  graph.output(logits(h, logitRows, config, { norm, head }), "logits");
  return graph;
}

/** Weights as external data, in the type of the checkpoint; the runtime folds the casts when it opens the graph. */
function storedParameters(
  graph: Graph,
  config: DecoderConfig,
  { stored, blocks }: StoredWeights,
  products: Products,
): { parameters: Parameters; embedding: Value; head: readonly Value[] } {
  const names = parameterNames(config);
  const raw = new Map<string, Value>();
  const converted = new Map<string, Value>();
  for (const { name, shape, kind } of parameterSpecs(config)) {
    const integers = blocks(name);
    if (integers) converted.set(name, quantizedMatrix(graph, name, shape as [number, number], integers));
    if (name !== names.embedding && (integers || name === names.head)) continue;
    const { dtype, where } = stored(name);
    const value = graph.external(name, dtype, shape, where);
    raw.set(name, value);
    // Rows are gathered from the stored embedding and cast after: a float32 copy of it exists only where a tied head has one.
    if (name === names.embedding) continue;
    converted.set(name, products === "stored" && kind === "matrix" ? value : cast(value, "float32"));
  }
  const integerHead = converted.get(names.head);
  return {
    parameters: (name) => converted.get(name)!,
    embedding: raw.get(names.embedding)!,
    head: integerHead ? [integerHead] : headInPieces(graph, config, stored(names.head), products),
  };
}

interface Stream {
  readonly h: Value;
  readonly gates: Value;
}

interface KeysAndValues {
  readonly key: Value;
  readonly value: Value;
}

type Past = KeysAndValues | RecurrentMemory;

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
  const attend: BlockContext["attend"] = (query, key, value) => {
    fresh.push(key, value);
    const masks = shared.masks(config.layerKinds[layer]!.window);
    return attendCached(query, key, value, past as KeysAndValues, shared, masks, config);
  };
  const context: BlockContext =
    "state" in past
      ? {
          ...shared,
          attend: null,
          recurrence: recurrenceFrom(past, shared.realTokens!, config.deltaNet!, (value) => fresh.push(value)),
        }
      : { ...shared, attend, recurrence: null };
  const plain = decoderBlock(h, blockWeights(config, parameters, layer), config, context);
  const opened = openGates(plain, gates, layer, edits, shared.reshape);
  const { steered, strength } = applyEdits(plain, opened, layer, edits, shared.reshape);
  return [steered, opened, fresh[0]!, fresh[1]!, strength];
}

function skippedBlock({ h, gates }: Stream, memory: readonly MemoryArray[]): Value[] {
  const nothing = (shape: Shape) => {
    const empty = shape.map((dim) => (typeof dim === "number" ? dim : 0));
    return h.graph.current.constant(new Float32Array(), "float32", empty);
  };
  return [identity(h), identity(gates), ...memory.map(({ next }) => nothing(next)), nothing([0, 0, 0, editLanes])];
}

interface SharedContext extends Omit<BlockContext, "attend" | "recurrence"> {
  /** null: the model has no delta nets. */
  readonly realTokens: RealTokens | null;
  /** By the layer's window; null: none. */
  readonly masks: (window: number | null) => AttentionMasks;
  readonly padding: Value;
  /** P as an int64 vector of length 1. */
  readonly pastColumns: Value;
  /** Whether P is above 0. */
  readonly hasPast: Value;
}

function sharedContext(
  graph: Graph,
  config: DecoderConfig,
  ids: Value,
  pastLengths: Value,
  padding: Value,
): SharedContext {
  const { deltaNet } = config;
  const tokens = range(graph, "T");
  const positions = cast(add(unsqueeze(pastLengths, [1]), unsqueeze(tokens, [0])), "float32");
  const frequencies = inverseFrequencies(config.rope);
  // In whole groups of 16: the kernels of cos and sin round differently at the end of an array than inside.
  const grouped = new Float32Array(16 * Math.ceil(frequencies.length / 16));
  grouped.set(frequencies);
  const angles = mul(unsqueeze(positions, [1, 3]), graph.constant(grouped, "float32", [1, 1, 1, grouped.length]));
  const ofFrequencies = (table: Value) => slice(table, 3, 0, frequencies.length);
  const gain = rotationGain(config.rope);
  const pastColumns = sizeOf(graph, "P");
  const amplified = (table: Value) => (gain === 1 ? table : mul(table, gain));
  return {
    sequences: ids.shape[0]!,
    positions: ids.shape[1]!,
    cos: amplified(ofFrequencies(cos(angles))),
    sin: amplified(ofFrequencies(sin(angles))),
    reshape: sharedReshape(graph),
    masks: attentionMasks(graph, pastLengths, padding),
    padding,
    runExperts: sparseExperts,
    realTokens: deltaNet ? realTokens(graph, deltaNet, graph.input("new_lengths", "int64", ["S"])) : null,
    pastColumns,
    hasPast: squeeze(greater(pastColumns, constantLike(pastColumns, 0)), [0]),
  };
}

/**
 * softmax(q·[past keys | new keys] + masks)·[past values | new values] without joining keys or values: only scores are joined, which
 * for one new token are smaller than the cache by a factor of headDim.
 *
 * Every query head has a product of its own: for one new token it then has one row, which runs over keys and values as they lie,
 * where two rows (grouped heads) first repack them: 3.0 instead of 4.1 ms a layer at 8 streams of 640 columns. Not so where there is
 * one key head: the runtime makes one product of all query heads when the other operand is a single matrix, which it is for one
 * sequence and not for two, and a token's bits would depend on its company; so there the heads are always rows of one product.
 */
function attendCached(
  query: Value,
  key: Value,
  value: Value,
  past: KeysAndValues,
  shared: SharedContext,
  masks: AttentionMasks,
  { kvHeads, heads, headDim }: DecoderConfig,
): Value {
  const ofGroup = (cached: Value) => unsqueeze(cached, [2]);
  const columnsOf = (cached: Value) => transpose(ofGroup(cached), [0, 1, 2, 4, 3]);
  const byHead = shared.reshape(query, ["S", kvHeads, heads / kvHeads, "T", headDim]);
  // Transposed before the padding: the runtime's optimiser moves a transpose across Pad wrongly when that names its axes.
  const newColumns = pad(columnsOf(key), 4, 0, shared.padding, 0, "K");
  const times = (rows: Value, cached: Value) => {
    if (kvHeads > 1) return matMul(rows, cached);
    const [, , group, T, inner] = rows.shape as [Dim, 1, number, Dim, Dim];
    const joined = shared.reshape(rows, ["S", 1, 1, productOfDims([group, T]), inner]);
    return shared.reshape(matMul(joined, cached), ["S", 1, group, T, cached.shape.at(-1)!]);
  };
  const within = add(times(byHead, newColumns), masks.fresh);
  const newValues = ofGroup(pad(value, 2, 0, shared.padding, 0, "K"));
  const alone = () => [times(softmax(within, -1), newValues)];
  const afterPast = () => {
    const before = add(times(byHead, columnsOf(past.key)), masks.past);
    const probabilities = softmax(concat([before, within], -1), -1);
    const onPast = slice(probabilities, -1, 0, shared.pastColumns, "P");
    const onNew = slice(probabilities, -1, shared.pastColumns, undefined, "K");
    return [add(times(onPast, ofGroup(past.value)), times(onNew, newValues))];
  };
  // Joining and parting scores costs a text's first 512 tokens 5 % of their pass, for nothing.
  const mixed = ifElse(shared.hasPast, afterPast, alone)[0]!;
  return shared.reshape(mixed, query.shape);
}

function constantLike(like: Value, number: number): Value {
  return like.graph.current.constant(number, like.dtype, []);
}
