/**
 * Bins of positive float32 values on a logarithmic scale, four to the octave: bin b holds [2^(b/4 − 12), 2^((b+1)/4 − 12)). What lies
 * below the first or above the last counts there. Read off the bits of the number, because a logarithm for each of the hundreds of
 * millions of activations of an index would cost more than everything else that is counted of them.
 */

const lowestOctave = -12;
const octaves = 32;

export const binCount = 4 * octaves;

const quarters = [0.25, 0.5, 0.75].map((quarter) => bitsOf(2 ** quarter) & 0x7fffff) as [number, number, number];
const [first, second, third] = quarters;

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** ⌊log2 v⌋ of a positive, normal float32, from its bits. */
export function octaveOfBits(bits: number): number {
  return (bits >>> 23) - 127;
}

/** The bin of a positive float32, from its bits. */
export function binOfBits(bits: number): number {
  const octave = octaveOfBits(bits) - lowestOctave;
  if (octave < 0) return 0;
  if (octave >= octaves) return binCount - 1;
  const mantissa = bits & 0x7fffff;
  if (mantissa < second) return 4 * octave + (mantissa < first ? 0 : 1);
  return 4 * octave + (mantissa < third ? 2 : 3);
}

/** The lower edge of a bin; of `binCount` the upper edge of the last. */
export function binEdge(bin: number): number {
  return 2 ** (bin / 4 + lowestOctave);
}
