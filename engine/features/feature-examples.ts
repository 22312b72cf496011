/**
 * Which places of a text corpus show what a feature does: the strongest, and some from each octave below the maximum. A sequence is
 * shown once for a feature, at the place of its largest value there. What is kept is bounded: per feature `top` places and, for each of
 * the four highest octaves that its maximum has reached so far, `perBand` places drawn evenly (those whose hash of feature and place is
 * largest, so the draw depends on no order and needs no generator's state).
 */
import { octaveOfBits } from "./value-bins.ts";

export interface ExampleSizes {
  readonly width: number;
  readonly top: number;
  readonly perBand: number;
  /** Tokens kept before the place and after it. */
  readonly before: number;
  readonly after: number;
  readonly seed: number;
}

export const bandCount = 4;

export interface ExampleArrays {
  /** [F, E] with E = top + 4 · perBand; a slot is in use where the length is above 0. */
  readonly value_FE: Float32Array;
  readonly sample_FE: Uint32Array;
  readonly position_FE: Uint32Array;
  readonly at_FE: Uint8Array;
  readonly length_FE: Uint8Array;
  readonly priority_FE: Uint32Array;
  /** [F, E, before + 1 + after] */
  readonly tokens_FEW: Int32Array;
  readonly values_FEW: Float32Array;
  /** [F, 4]: the octave whose places the band's slots hold. */
  readonly octave_FR: Int16Array;
  /** What a place must exceed to be kept: the least value among the strongest, and per band the least priority; 0 while a slot is free. */
  readonly least_F: Float32Array;
  readonly leastPriority_FR: Uint32Array;
}

/** A sequence's active features as rows, and which part of the corpus it is. */
export interface ShownSequence {
  readonly tokens: Int32Array;
  readonly sample: number;
  /** Position of the sequence's first token in the sample. */
  readonly start: number;
  /** Entries of token t: offsets[row + t] … offsets[row + t + 1] − 1. */
  readonly row: number;
  readonly offsets: Int32Array;
  readonly features: Int32Array;
  readonly values: Float32Array;
}

export interface KeptExample {
  /** 0 for the strongest, else one more than the number of octaves below that of the maximum. */
  readonly band: number;
  readonly value: number;
  readonly sample: number;
  readonly position: number;
  readonly at: number;
  readonly tokens: Int32Array;
  readonly values: Float32Array;
}

export interface FeatureExamples {
  readonly arrays: ExampleArrays;
  /** The feature's largest value in the sequence, at token `at`; `bits` are those of the value. */
  add(feature: number, value: number, bits: number, at: number, sequence: ShownSequence): void;
  /** Strongest first, then band by band; what is among the strongest is in no band. */
  of(feature: number): KeptExample[];
}

/** @throws RangeError when a window would be longer than 255 tokens */
export function createFeatureExamples({ width, top, perBand, before, after, seed }: ExampleSizes): FeatureExamples {
  const E = top + bandCount * perBand;
  const W = before + 1 + after;
  if (W > 255) throw new RangeError(`an example's window must be at most 255 tokens, got ${W}`);
  const value_FE = new Float32Array(width * E);
  const sample_FE = new Uint32Array(width * E);
  const position_FE = new Uint32Array(width * E);
  const at_FE = new Uint8Array(width * E);
  const length_FE = new Uint8Array(width * E);
  const priority_FE = new Uint32Array(width * E);
  const tokens_FEW = new Int32Array(width * E * W);
  const values_FEW = new Float32Array(width * E * W);
  const octave_FR = new Int16Array(width * bandCount).fill(-1000);
  const least_F = new Float32Array(width);
  const leastPriority_FR = new Uint32Array(width * bandCount);
  if (top === 0) least_F.fill(Number.POSITIVE_INFINITY);

  /** A free slot, else the one with the least key. */
  function slotToFill(keys: Float32Array | Uint32Array, from: number, to: number): number {
    let least = from;
    for (let slot = from; slot < to; slot++) {
      if (length_FE[slot] === 0) return slot;
      if (keys[slot]! < keys[least]!) least = slot;
    }
    return least;
  }

  function leastOf(keys: Float32Array | Uint32Array, from: number, to: number): number {
    const slot = slotToFill(keys, from, to);
    return length_FE[slot] === 0 ? 0 : keys[slot]!;
  }

  /** Equal text gives equal values: a corpus that repeats itself would fill the slots with one place. */
  function isShown(value: number, at: number, { tokens }: ShownSequence, from: number, to: number): boolean {
    for (let slot = from; slot < to; slot++) {
      if (length_FE[slot] === 0 || value_FE[slot] !== value) continue;
      const kept = at_FE[slot]!;
      if (kept !== Math.min(at, before)) continue;
      let same = 0;
      while (same <= kept && tokens_FEW[slot * W + kept - same] === tokens[at - same]) same++;
      if (same > kept) return true;
    }
    return false;
  }

  function keep(slot: number, feature: number, value: number, at: number, priority: number, shown: ShownSequence) {
    const from = Math.max(0, at - before);
    const to = Math.min(shown.tokens.length, at + after + 1);
    value_FE[slot] = value;
    sample_FE[slot] = shown.sample;
    position_FE[slot] = shown.start + at;
    at_FE[slot] = at - from;
    length_FE[slot] = to - from;
    priority_FE[slot] = priority;
    for (let t = from; t < to; t++) {
      tokens_FEW[slot * W + t - from] = shown.tokens[t]!;
      values_FEW[slot * W + t - from] = valueAt(feature, t, shown);
    }
  }

  function addStrong(feature: number, value: number, at: number, sequence: ShownSequence): void {
    const [from, to] = [feature * E, feature * E + top];
    if (isShown(value, at, sequence, from, to)) return;
    keep(slotToFill(value_FE, from, to), feature, value, at, 0, sequence);
    least_F[feature] = leastOf(value_FE, from, to);
  }

  function addToBand(feature: number, value: number, octave: number, at: number, sequence: ShownSequence): void {
    const band = feature * bandCount + (octave & (bandCount - 1));
    // A lower octave that shares the slots has been overtaken by four at least.
    if (octave < octave_FR[band]!) return;
    const from = feature * E + top + (octave & (bandCount - 1)) * perBand;
    const to = from + perBand;
    if (octave > octave_FR[band]!) {
      octave_FR[band] = octave;
      leastPriority_FR[band] = 0;
      length_FE.fill(0, from, to);
    }
    const priority = hashOf(seed, feature, sequence.sample, sequence.start + at);
    if (priority <= leastPriority_FR[band]! || isShown(value, at, sequence, from, to)) return;
    keep(slotToFill(priority_FE, from, to), feature, value, at, priority, sequence);
    leastPriority_FR[band] = leastOf(priority_FE, from, to);
  }

  return {
    arrays: {
      ...{ value_FE, sample_FE, position_FE, at_FE, length_FE, priority_FE, tokens_FEW, values_FEW, octave_FR },
      ...{ least_F, leastPriority_FR },
    },
    add(feature, value, bits, at, sequence) {
      if (value > least_F[feature]!) addStrong(feature, value, at, sequence);
      if (perBand > 0) addToBand(feature, value, octaveOfBits(bits), at, sequence);
    },
    of(feature) {
      const first = feature * E;
      const exampleAt = (slot: number, band: number): KeptExample => ({
        band,
        value: value_FE[slot]!,
        sample: sample_FE[slot]!,
        position: position_FE[slot]!,
        at: at_FE[slot]!,
        tokens: tokens_FEW.subarray(slot * W, slot * W + length_FE[slot]!),
        values: values_FEW.subarray(slot * W, slot * W + length_FE[slot]!),
      });
      const slots = (from: number, count: number) =>
        Array.from({ length: count }, (_, i) => from + i).filter((slot) => length_FE[slot]! > 0);
      const strongest = slots(first, top).map((slot) => exampleAt(slot, 0));
      const own = octave_FR.subarray(feature * bandCount, (feature + 1) * bandCount);
      const highest = own.reduce((most, octave) => Math.max(most, octave), -1000);
      const isStrongest = (one: KeptExample) =>
        strongest.some(({ sample, position }) => sample === one.sample && position === one.position);
      const drawn = Array.from(own).flatMap((octave, band) =>
        octave <= highest - bandCount
          ? []
          : slots(first + top + band * perBand, perBand).map((slot) => exampleAt(slot, highest - octave + 1)),
      );
      const order = (a: KeptExample, b: KeptExample) =>
        a.band - b.band || b.value - a.value || a.sample - b.sample || a.position - b.position;
      return [...strongest, ...drawn.filter((one) => !isStrongest(one))].sort(order);
    },
  };
}

function valueAt(feature: number, t: number, { row, offsets, features, values }: ShownSequence): number {
  const end = offsets[row + t + 1]!;
  for (let i = offsets[row + t]!; i < end; i++) if (features[i] === feature) return values[i]!;
  return 0;
}

/** 32 evenly spread bits (the finaliser of MurmurHash3 over each word in turn). */
function hashOf(...words: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const word of words) {
    hash = Math.imul(hash ^ word, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash >>> 0;
}
