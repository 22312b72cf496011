// Weights as small integers in blocks with one scale each, the storage that ONNX Runtime's MatMulNBits reads.

/** Columns that share a scale. With blocks of 32 a row's bits do not depend on how many rows are multiplied (docs/guides/precision.md). */
export const blockColumns = 32;

export type BlockBits = 4 | 8;

/** A matrix [rows, columns] of integers; columns are filled up with zeros to whole blocks. */
export interface QuantizedBlocks {
  readonly bits: BlockBits;
  readonly rows: number;
  readonly columns: number;
  /** [rows, blocks, 32·bits/8]: integers plus 2^(bits − 1); of two 4-bit ones in a byte the first is the lower half. */
  readonly packed: Uint8Array;
  /** [rows, blocks] */
  readonly scales: Float32Array;
}

export function blocksPerRow(columns: number): number {
  return Math.ceil(columns / blockColumns);
}

/** Tried besides the scale at which the largest weight of a block is met exactly: cutting it short may cost less than coarse steps. */
const shorterScales = [0.95, 0.9, 0.85, 0.8];

/**
 * w ≈ s·q with integers −2^(bits−1) ≤ q < 2^(bits−1) and one float32 scale s for 32 columns of a row. s = −w*·f / 2^(bits−1), w* the
 * weight of largest size with its sign (so that it is met by the one integer that has no opposite) and f the factor among
 * 1, 0.95, …, 0.8 with the least Σ(w − s·q)². 8 bits take f = 1. Float32 in, arithmetic in float64. A block of zeros has s = 0.
 *
 * @throws RangeError when a weight is not finite or the weights are not whole rows
 */
export function quantizeBlocks(weights: Float32Array, columns: number, bits: BlockBits): QuantizedBlocks {
  if (weights.length % columns !== 0) throw new RangeError(`${weights.length} weights are not rows of ${columns}`);
  const rows = weights.length / columns;
  const blocks = blocksPerRow(columns);
  const half = 2 ** (bits - 1);
  const packed = new Uint8Array((rows * blocks * blockColumns * bits) / 8);
  const scales = new Float32Array(rows * blocks);
  const integers = new Uint8Array(blockColumns);
  for (let row = 0, block = 0; row < rows; row++) {
    for (let column = 0; column < columns; column += blockColumns, block++) {
      const start = row * columns + column;
      const end = Math.min(start + blockColumns, (row + 1) * columns);
      const scale = bestScale(weights, start, end, half);
      scales[block] = scale;
      integers.fill(half);
      for (let i = start; i < end; i++) integers[i - start] = half + nearestInteger(weights[i]!, scale, half);
      pack(integers, bits, packed, (block * blockColumns * bits) / 8);
    }
  }
  return { bits, rows, columns, packed, scales };
}

function bestScale(weights: Float32Array, start: number, end: number, half: number): number {
  let largest = 0;
  for (let i = start; i < end; i++) {
    const weight = weights[i]!;
    if (!(Math.abs(weight) < Number.POSITIVE_INFINITY))
      throw new RangeError(`the weight ${weight} cannot be quantised`);
    if (Math.abs(weight) > Math.abs(largest)) largest = weight;
  }
  const whole = Math.fround(-largest / half);
  // With 256 steps nothing is gained by cutting.
  if (half > 8) return whole;
  let [best, least] = [whole, squaredError(weights, start, end, whole, half)];
  for (const factor of shorterScales) {
    const scale = Math.fround(whole * factor);
    const error = squaredError(weights, start, end, scale, half);
    if (error < least) [best, least] = [scale, error];
  }
  return best;
}

function squaredError(weights: Float32Array, start: number, end: number, scale: number, half: number): number {
  let sum = 0;
  for (let i = start; i < end; i++) {
    const weight = weights[i]!;
    const error = weight - scale * nearestInteger(weight, scale, half);
    sum += error * error;
  }
  return sum;
}

function nearestInteger(weight: number, scale: number, half: number): number {
  if (scale === 0) return 0;
  const nearest = Math.floor(weight / scale + 0.5);
  return nearest < -half ? -half : nearest >= half ? half - 1 : nearest;
}

function pack(integers: Uint8Array, bits: BlockBits, out: Uint8Array, at: number): void {
  if (bits === 8) out.set(integers, at);
  else for (let i = 0; i < blockColumns; i += 2) out[at + i / 2] = integers[i]! | (integers[i + 1]! << 4);
}

/** The weights that the integers stand for, [rows, columns] float32: s·q, rounded once. */
export function dequantizeBlocks({ bits, rows, columns, packed, scales }: QuantizedBlocks): Float32Array {
  const half = 2 ** (bits - 1);
  const blocks = blocksPerRow(columns);
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * blocks * blockColumns + column;
      const integer = bits === 8 ? packed[at]! : (packed[at >> 1]! >> (4 * (at & 1))) & 15;
      out[row * columns + column] = scales[row * blocks + Math.floor(column / blockColumns)]! * (integer - half);
    }
  }
  return out;
}
