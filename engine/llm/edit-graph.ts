// Steering inside the graph: per layer, h' = h + Σ mask · gate · (c0 + c1·z + c2·(h·d)) · d, everything read from h before the edits.
//
// Edits come in chunks of 16 per sequence, chunks sorted by layer. Every product then has exactly 16 columns whatever else
// is in the batch, so that the sums run in one order and a sequence's numbers do not depend on its neighbours.

import type { Graph, Value } from "../onnx/graph.ts";
import { ifElse } from "../ops/control.ts";
import { abs, add, cast, div, equal, greater, less, max, mul, sqrt, where } from "../ops/elementwise.ts";
import { gather, slice } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { reduceSum, reduceSumSquare } from "../ops/reduce.ts";
import { identity, squeeze, transpose, unsqueeze } from "../ops/shape.ts";
import type { BlockContext } from "./block-context.ts";
import type { DecoderConfig } from "./config.ts";

/** Edits of one sequence and layer that share a product. */
export const editLanes = 16;
/** ‖h'‖² beyond it is lost in float32: a norm would make zeros of the stream, and finite logits of those. */
const largestSquare = 3e38;

export interface EditInputs {
  /** [layers + 1]: chunks of layer l are offsets[l] … offsets[l+1] − 1. */
  readonly offsets: Value;
  readonly directions: Value;
  readonly encoders: Value;
  readonly bias: Value;
  readonly threshold: Value;
  readonly constant: Value;
  readonly byActivation: Value;
  readonly byProjection: Value;
  readonly mask: Value;
  /** [layers]: whether any gate reads that layer. */
  readonly gatedLayers: Value;
  readonly gateLayer: Value;
  readonly gateEncoders: Value;
  readonly gateBias: Value;
  readonly gateThreshold: Value;
  readonly gateAbove: Value;
}

/**
 * The inputs, all float32 unless said otherwise; C chunks, S sequences, T tokens:
 * `edit_offsets` [layers + 1] int64; `edit_directions`, `edit_encoders`, `gate_encoders` [C, S, 16, D];
 * `edit_bias`, `edit_threshold`, `edit_constant`, `edit_by_activation`, `edit_by_projection`, `gate_bias`, `gate_threshold`,
 * `gate_above` [C, S, 1, 16]; `edit_mask` [C, S, T, 16]; `gated_layers` [layers] bool; `gate_layer` [C, S, 1, 16] int64, −1 without gate.
 */
export function editInputs(graph: Graph, config: DecoderConfig): EditInputs {
  const matrix = (name: string) => graph.input(name, "float32", ["C", "S", editLanes, config.dModel]);
  const lanes = (name: string) => graph.input(name, "float32", ["C", "S", 1, editLanes]);
  return {
    offsets: graph.input("edit_offsets", "int64", [config.layers + 1]),
    directions: matrix("edit_directions"),
    encoders: matrix("edit_encoders"),
    bias: lanes("edit_bias"),
    threshold: lanes("edit_threshold"),
    constant: lanes("edit_constant"),
    byActivation: lanes("edit_by_activation"),
    byProjection: lanes("edit_by_projection"),
    mask: graph.input("edit_mask", "float32", ["C", "S", "T", editLanes]),
    gatedLayers: graph.input("gated_layers", "bool", [config.layers]),
    gateLayer: graph.input("gate_layer", "int64", ["C", "S", 1, editLanes]),
    gateEncoders: matrix("gate_encoders"),
    gateBias: lanes("gate_bias"),
    gateThreshold: lanes("gate_threshold"),
    gateAbove: lanes("gate_above"),
  };
}

type Reshape = BlockContext["reshape"];

/** The gates [C, S, T, 16] after this layer: 1 or 0 where a gate reads this layer, as before elsewhere (1 where there is no gate). */
export function openGates(h: Value, gates: Value, layer: number, edits: EditInputs, reshape: Reshape): Value {
  const home = h.graph.current;
  return ifElse(
    scalarAt(edits.gatedLayers, layer),
    () => {
      const streams = bySequence(h, reshape);
      const z = activation(streams, edits.gateEncoders, edits.gateBias, edits.gateThreshold);
      const open = cast(greater(z, edits.gateAbove), "float32");
      return [where(equal(edits.gateLayer, home.constant(layer, "int64", [])), open, gates)];
    },
    () => [identity(gates)],
  )[0]!;
}

/** h [S·T, D] after the edits of this layer, and ‖change‖/‖h‖ of each edit [C_l, S, T, 16], infinite where they leave nothing of h in float32. */
export function applyEdits(
  h: Value,
  gates: Value,
  layer: number,
  edits: EditInputs,
  reshape: Reshape,
): { steered: Value; strength: Value } {
  const home = h.graph.current;
  const start = slice(edits.offsets, 0, layer, layer + 1);
  const end = slice(edits.offsets, 0, layer + 1, layer + 2);
  const here = `C${layer}`;
  const strengthShape = [here, "S", "T", editLanes];
  const [steered, strength] = ifElse(
    squeeze(greater(end, start), [0]),
    () => {
      const chunk = (value: Value) => slice(value, 0, start, end, here);
      const directions = chunk(edits.directions);
      const streams = bySequence(h, reshape);
      const projection = matMul(streams, transpose(directions, [0, 1, 3, 2]));
      const z = activation(streams, chunk(edits.encoders), chunk(edits.bias), chunk(edits.threshold));
      const linear = add(mul(chunk(edits.byActivation), z), mul(chunk(edits.byProjection), projection));
      const amount = mul(mul(chunk(edits.mask), chunk(gates)), add(chunk(edits.constant), linear));
      const change = reduceSum(matMul(amount, directions), [0]);
      const directionNorm = unsqueeze(sqrt(reduceSumSquare(directions, [-1])), [2]);
      const streamNorm = sqrt(reduceSumSquare(streams, [-1], { keepDims: true }));
      const changed = add(h, reshape(change, h.shape));
      const isWithin = less(reduceSumSquare(bySequence(changed, reshape), [-1], { keepDims: true }), largestSquare);
      // A stream of zeros has no length to compare with.
      const relative = div(mul(abs(amount), directionNorm), max(streamNorm, 1e-30));
      return [changed, where(isWithin, relative, Number.POSITIVE_INFINITY)];
    },
    () => [identity(h), home.constant(new Float32Array(), "float32", [0, 0, 0, editLanes])],
    { shapes: [h.shape, strengthShape] },
  ) as [Value, Value];
  return { steered, strength };
}

/** z = p · 1[p > θ] with p = h·w + b, [C, S, T, 16]: the sae's own activation, with its input scaling folded into w and b. */
function activation(streams: Value, encoders: Value, bias: Value, threshold: Value): Value {
  const p = add(matMul(streams, transpose(encoders, [0, 1, 3, 2])), bias);
  return where(greater(p, threshold), p, 0);
}

/** [S·T, D] as [1, S, T, D]. */
function bySequence(h: Value, reshape: Reshape): Value {
  return reshape(h, [1, "S", "T", h.shape[1]!]);
}

function scalarAt(vector: Value, index: number): Value {
  return gather(vector, vector.graph.current.constant(index, "int64", []));
}
