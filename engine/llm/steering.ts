// From the edits of each sequence to the packed inputs of the graph, and from its outputs to the report.

import type { Selection } from "../../domain/steering.ts";
import type { DecoderConfig } from "./config.ts";
import { editLanes } from "./edit-graph.ts";
import type { ForwardResult, LaneName, PackedEdits } from "./forward.ts";
import { laneNames } from "./forward.ts";

/** z = p·1[p > threshold] with p = weight·h + bias: a feature's activation by its own sae's rule, without competition. */
export interface FeatureEncoder {
  readonly weight: Float32Array;
  readonly bias: number;
  readonly threshold: number;
}

/** h' = h + mask · gate · (c0 + c1·z + c2·(h·d)) · d on resid_post.layer; z is 0 without an encoder. */
export interface SteeringEdit {
  readonly layer: number;
  readonly direction: Float32Array;
  readonly encoder?: FeatureEncoder;
  readonly c0: number;
  readonly c1: number;
  readonly c2: number;
  readonly selection: Selection;
  /** The edit acts only where this activation, read before the edits of its layer, is above the bound. */
  readonly gate?: FeatureEncoder & { readonly layer: number; readonly above: number };
}

export interface EditReport {
  /** Tokens of the prompt and of the generation on which the edit acted: selected, and the gate open. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** Mean of ‖change‖/‖h‖ over those tokens; 0 when there are none. */
  readonly meanRelativeChange: number;
  /** Selected tokens on which the gate opened; null without a gate. */
  readonly gateOpenTokens: number | null;
}

/** @throws RangeError naming the edit whose layer, gate layer or vectors do not fit the model */
export function checkEdits(config: DecoderConfig, edits: readonly SteeringEdit[]): void {
  edits.forEach((edit, index) => {
    const fault = (what: string) => new RangeError(`edit ${index}: ${what}`);
    const inside = (layer: number) => Number.isInteger(layer) && layer >= 0 && layer < config.layers;
    if (!inside(edit.layer)) throw fault(`layer ${edit.layer} is not among the model's ${config.layers}`);
    if (edit.gate && !(inside(edit.gate.layer) && edit.gate.layer <= edit.layer)) {
      throw fault(`a gate on layer ${edit.gate.layer} cannot decide about layer ${edit.layer}`);
    }
    for (const vector of [edit.direction, edit.encoder?.weight, edit.gate?.weight]) {
      if (vector && vector.length !== config.dModel)
        throw fault(`a vector of ${vector.length} numbers; the model has ${config.dModel}`);
    }
  });
}

/** Where an edit of a sequence lies in the packed arrays. */
interface Place {
  readonly chunk: number;
  readonly lane: number;
}

export interface EditLayout {
  /** For each sequence, the place of each of its edits. */
  readonly places: readonly (readonly Place[])[];
  /** The packed inputs for T tokens; `selects(s, edit, t)` says whether sequence s's edit acts on its t-th new token. */
  pack(tokens: number, selects: (sequence: number, edit: number, token: number) => boolean): PackedEdits;
}

/**
 * Lays the edits of a batch out. It depends only on who is in the batch, so a generator makes it once per change of the batch and
 * packs only the masks at every step. null when no sequence has edits.
 */
export function layOutEdits(config: DecoderConfig, sequences: readonly (readonly SteeringEdit[])[]): EditLayout | null {
  if (sequences.every((edits) => edits.length === 0)) return null;
  const { offsets, places } = placeEdits(config.layers, sequences);
  const chunks = offsets.at(-1)!;
  const S = sequences.length;
  const D = config.dModel;
  const slots = chunks * S * editLanes;
  const matrices = {
    directions: new Float32Array(slots * D),
    encoders: new Float32Array(slots * D),
    gateEncoders: new Float32Array(slots * D),
  };
  const lanes = Object.fromEntries(laneNames.map((name) => [name, new Float32Array(slots)])) as Record<
    LaneName,
    Float32Array
  >;
  const gateLayer = new Int32Array(slots).fill(-1);
  const gatedLayers = new Array<boolean>(config.layers).fill(false);
  sequences.forEach((edits, s) => {
    edits.forEach((edit, e) => {
      const { chunk, lane } = places[s]![e]!;
      const slot = (chunk * S + s) * editLanes + lane;
      matrices.directions.set(edit.direction, slot * D);
      lanes.edit_constant[slot] = edit.c0;
      lanes.edit_by_activation[slot] = edit.c1;
      lanes.edit_by_projection[slot] = edit.c2;
      if (edit.encoder) {
        matrices.encoders.set(edit.encoder.weight, slot * D);
        lanes.edit_bias[slot] = edit.encoder.bias;
        lanes.edit_threshold[slot] = edit.encoder.threshold;
      }
      if (edit.gate) {
        matrices.gateEncoders.set(edit.gate.weight, slot * D);
        lanes.gate_bias[slot] = edit.gate.bias;
        lanes.gate_threshold[slot] = edit.gate.threshold;
        lanes.gate_above[slot] = edit.gate.above;
        gateLayer[slot] = edit.gate.layer;
        gatedLayers[edit.gate.layer] = true;
      }
    });
  });
  return {
    places,
    pack(tokens, selects) {
      const mask = new Float32Array(chunks * S * tokens * editLanes);
      places.forEach((own, s) => {
        own.forEach(({ chunk, lane }, e) => {
          for (let t = 0; t < tokens; t++)
            if (selects(s, e, t)) mask[((chunk * S + s) * tokens + t) * editLanes + lane] = 1;
        });
      });
      return { chunks, offsets, gatedLayers, ...matrices, lanes, gateLayer, mask };
    },
  };
}

/** Every layer gets as many chunks of lanes as its busiest sequence needs; a sequence fills its own from lane 0. */
function placeEdits(layers: number, sequences: readonly (readonly SteeringEdit[])[]) {
  const counts = sequences.map(() => new Array<number>(layers).fill(0));
  const ordinal = sequences.map((edits, s) => edits.map(({ layer }) => counts[s]![layer]!++));
  const offsets = [0];
  for (let layer = 0; layer < layers; layer++) {
    const busiest = Math.max(...counts.map((own) => own[layer]!));
    offsets.push(offsets[layer]! + Math.ceil(busiest / editLanes));
  }
  const places = sequences.map((edits, s) =>
    edits.map(({ layer }, e): Place => {
      const position = ordinal[s]![e]!;
      return { chunk: offsets[layer]! + Math.floor(position / editLanes), lane: position % editLanes };
    }),
  );
  return { offsets, places };
}

/** What an edit did to some tokens. */
export interface EditCounts {
  /** Tokens on which it acted: selected, and the gate open. */
  readonly tokens: number;
  /** Sum of ‖change‖/‖h‖ over them; not finite where the layer's edits left nothing of h in float32. */
  readonly change: number;
}

/** What each edit of sequence s did to the first `tokens` new tokens of a forward, by what the graph itself reports. */
export function countEdits(
  { strength, gates }: Pick<ForwardResult, "strength" | "gates">,
  packed: PackedEdits,
  layout: EditLayout,
  sequence: number,
  tokens: number,
): EditCounts[] {
  if (!strength || !gates) throw new Error("a forward with edits reports their strength");
  const S = layout.places.length;
  const stride = packed.mask.length / (packed.chunks * S * editLanes);
  return layout.places[sequence]!.map(({ chunk, lane }) => {
    let [acted, change] = [0, 0];
    for (let t = 0; t < tokens; t++) {
      const at = ((chunk * S + sequence) * stride + t) * editLanes + lane;
      if (packed.mask[at] === 0 || gates[at] === 0) continue;
      acted++;
      change += strength[at]!;
    }
    return { tokens: acted, change };
  });
}

/** An edit took the residual stream of a token beyond float32: nothing that follows from it means anything. */
export class SteeringOverflowError extends RangeError {
  override readonly name = "SteeringOverflowError";
  readonly layer: number;
  /** Index among the request's edits: the first of those that acted on the token at this layer. */
  readonly edit: number;

  constructor(layer: number, edit: number, tokens: string) {
    super(`${tokens} give something that is not a number after the edits of layer ${layer}`);
    this.layer = layer;
    this.edit = edit;
  }
}

/**
 * Looks whether the edits left some tokens within float32. `which`: the edit of each count, as in `SteeringTally.add`.
 *
 * @throws SteeringOverflowError naming the lowest layer that did not; `tokens` is what its message calls them
 */
export function expectWithinFloat32(
  counts: readonly EditCounts[],
  edits: readonly SteeringEdit[],
  tokens: string,
  which?: readonly number[],
): void {
  const beyond = counts
    .flatMap(({ change }, i) => (Number.isFinite(change) ? [] : [which ? which[i]! : i]))
    .sort((a, b) => edits[a]!.layer - edits[b]!.layer || a - b);
  if (beyond.length > 0) throw new SteeringOverflowError(edits[beyond[0]!]!.layer, beyond[0]!, tokens);
}

export interface SteeringTally {
  /** Adds what the edits of these indices (default: all, in order) did to tokens of the prompt or of the generation. */
  add(counts: readonly EditCounts[], part: "prompt" | "generation", edits?: readonly number[]): void;
  report(): EditReport[];
}

export function createSteeringTally(edits: readonly SteeringEdit[]): SteeringTally {
  const tallies = edits.map(() => ({ prompt: 0, generation: 0, change: 0 }));
  return {
    add(counts, part, which) {
      counts.forEach(({ tokens, change }, i) => {
        const tally = tallies[which ? which[i]! : i]!;
        tally[part] += tokens;
        tally.change += change;
      });
    },
    report: () =>
      tallies.map(({ prompt, generation, change }, e) => ({
        promptTokens: prompt,
        generatedTokens: generation,
        meanRelativeChange: prompt + generation === 0 ? 0 : change / (prompt + generation),
        gateOpenTokens: edits[e]!.gate ? prompt + generation : null,
      })),
  };
}

/**
 * Whether an edit acts on a token: one of the prompt by its position, a later one by its generation index, which counts fed-back
 * tokens from 0.
 */
export function selectsToken({ selection }: SteeringEdit, position: number, isSpecial: () => boolean): boolean {
  const { prompt, generation, excludeSpecial } = selection;
  if (position < prompt.length) return prompt[position] === 1;
  const index = position - prompt.length;
  return index >= generation.from && index < generation.to && !(excludeSpecial && isSpecial());
}
