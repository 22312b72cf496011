/**
 * The index of one sae's features, made in one pass over a stream of whole sequences: counts (feature-tallies.ts) and examples
 * (feature-examples.ts). Its arrays are all there is of it: a copy of them is a checkpoint.
 */
import type { ActivationBatch } from "../runtime/activations.ts";
import { createFeatureExamples, type ExampleSizes, type FeatureExamples } from "./feature-examples.ts";
import { createFeatureTallies, type FeatureTallies } from "./feature-tallies.ts";

/** Row b has the entries offsets[b] … offsets[b+1] − 1; every value is above 0. */
export interface ActiveFeatures {
  readonly offsets: Int32Array;
  readonly features: Int32Array;
  readonly values: Float32Array;
}

/** Which part of the corpus a sequence is. */
export interface SequencePlace {
  readonly sample: number;
  /** Position of its first token in the sample. */
  readonly start: number;
}

export type IndexArray = Float64Array | Float32Array | Uint32Array | Int32Array | Int16Array | Uint8Array;

export interface FeatureIndex {
  readonly tallies: FeatureTallies;
  readonly examples: FeatureExamples;
  /** The batch's rows are whole sequences, one after the other; `placeOf` knows them by their number in the batch. */
  add(
    batch: Pick<ActivationBatch, "rows" | "sequence" | "position" | "tokenId">,
    active: ActiveFeatures,
    placeOf: (sequence: number) => SequencePlace,
  ): void;
  /** All of its state, live. */
  arrays(): Record<string, IndexArray>;
  /** Goes on from a copy of another's arrays. @throws RangeError when one is missing or of another size */
  restore(arrays: Readonly<Record<string, IndexArray>>): void;
}

export function createFeatureIndex(sizes: ExampleSizes): FeatureIndex {
  const { width } = sizes;
  const tallies = createFeatureTallies(width);
  const examples = createFeatureExamples(sizes);
  const peak_F = new Float32Array(width);
  const peakBits_F = new Uint32Array(peak_F.buffer);
  const peakAt_F = new Int32Array(width);
  const touched = new Int32Array(width);
  let count = 0;

  function addToken({ offsets, features, values }: ActiveFeatures, bits: Uint32Array, row: number, t: number): void {
    const [from, to] = [offsets[row]!, offsets[row + 1]!];
    tallies.addToken(features, values, bits, from, to);
    for (let i = from; i < to; i++) {
      const feature = features[i]!;
      const value = values[i]!;
      if (value <= peak_F[feature]!) continue;
      if (peak_F[feature] === 0) touched[count++] = feature;
      peak_F[feature] = value;
      peakAt_F[feature] = t;
    }
  }

  const arrays = () => ({ ...tallies.arrays, ...examples.arrays }) as Record<string, IndexArray>;

  return {
    tallies,
    examples,
    arrays,
    add({ rows, sequence, position, tokenId }, active, placeOf) {
      const { offsets, features, values } = active;
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
      for (let first = 0; first < rows; ) {
        const own = sequence[first]!;
        tallies.addFirst(features, values, offsets[first]!, offsets[first + 1]!);
        let end = first + 1;
        for (; end < rows && sequence[end] === own; end++) addToken(active, bits, end, position[end]!);
        const shown = { ...active, ...placeOf(own), row: first, tokens: tokenId.subarray(first, end) };
        for (let i = 0; i < count; i++) {
          const feature = touched[i]!;
          examples.add(feature, peak_F[feature]!, peakBits_F[feature]!, peakAt_F[feature]!, shown);
          peak_F[feature] = 0;
        }
        count = 0;
        first = end;
      }
    },
    restore(given) {
      for (const [name, target] of Object.entries(arrays())) {
        const source = given[name];
        if (source?.length !== target.length)
          throw new RangeError(`${name}: expected ${target.length} numbers, got ${source?.length ?? "none"}`);
        target.set(source);
      }
    },
  };
}
