/**
 * In which order a training run reads a dataset: every pass visits each sample once, in an order drawn from the seed
 * and the number of the pass, so that a place in it is three integers and nothing before it need be read again.
 */
import { createRandom } from "../engine/runtime/random.ts";
import type { SampleFile } from "./sample-file.ts";

export interface TokenPlace {
  readonly pass: number;
  /** Place in the pass's order. */
  readonly sample: number;
  /** Which piece of the sample, each of one context length. */
  readonly piece: number;
}

export const FIRST_PLACE: TokenPlace = { pass: 0, sample: 0, piece: 0 };

export interface TokenSequence {
  readonly ids: Int32Array;
  /** Number of the sample in the dataset, and where in it the sequence starts. */
  readonly sample: number;
  readonly start: number;
  /** Where the sequence after this one starts. */
  readonly next: TokenPlace;
}

export interface TokenOrderOptions {
  readonly samples: SampleFile;
  readonly encode: (text: string) => Int32Array;
  /** Longer samples are cut into pieces of this many tokens. */
  readonly contextLength: number;
  readonly seed: number;
  /** Samples kept away from training, and the only ones read by `heldOut`. */
  readonly heldOutFraction: number;
}

export interface TokenOrder {
  /** Sequences from a place on, without end: passes follow each other. */
  from(place: TokenPlace): AsyncGenerator<TokenSequence>;
  /** Each held-out sample once. */
  heldOut(): AsyncGenerator<TokenSequence>;
  readonly trainingSamples: number;
  readonly heldOutSamples: number;
}

/** A sequence of one token has nothing but position 0, which is never trained on. */
const SHORTEST = 2;

export function createTokenOrder(options: TokenOrderOptions): TokenOrder {
  const { samples, seed, contextLength } = options;
  const random = createRandom(seed);
  const shuffled = random.fork("held out").shuffle(Int32Array.from({ length: samples.count }, (_, index) => index));
  const heldOutCount = Math.min(samples.count - 1, Math.ceil(samples.count * options.heldOutFraction));
  // Sorted again, so that neither split depends on more than which samples it holds.
  const heldOut = shuffled.slice(0, heldOutCount).sort();
  const training = shuffled.slice(heldOutCount).sort();

  async function* piecesOf(sample: number): AsyncGenerator<Int32Array> {
    const ids = options.encode((await samples.read(sample)).text);
    for (let start = 0; start < ids.length; start += contextLength) {
      yield ids.subarray(start, Math.min(start + contextLength, ids.length));
    }
  }

  return {
    trainingSamples: training.length,
    heldOutSamples: heldOut.length,
    async *from(place) {
      let skip = place.piece;
      let yielded = true;
      for (let pass = place.pass; yielded; pass++) {
        // A pass without one usable sequence would spin for ever; the caller sees the end and says so.
        yielded = pass === place.pass && (place.sample > 0 || place.piece > 0);
        const order = random.fork(`pass ${pass}`).shuffle(training.slice());
        for (let at = pass === place.pass ? place.sample : 0; at < order.length; at++) {
          let piece = 0;
          for await (const ids of piecesOf(order[at]!)) {
            piece += 1;
            if (piece <= skip || ids.length < SHORTEST) continue;
            yielded = true;
            const start = (piece - 1) * contextLength;
            yield { ids, sample: order[at]!, start, next: { pass, sample: at, piece } };
          }
          skip = 0;
        }
      }
    },
    async *heldOut() {
      for (const [at, sample] of heldOut.entries()) {
        let start = 0;
        for await (const ids of piecesOf(sample)) {
          if (ids.length >= SHORTEST) yield { ids, sample, start, next: { pass: 0, sample: at + 1, piece: 0 } };
          start += ids.length;
        }
      }
    },
  };
}
