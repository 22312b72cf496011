// The file of a model's quantised weights: written once beside a checkpoint, which keeps everything else, and read in place.

import { type FileHandle, open } from "node:fs/promises";
import { encodeSafetensorsHeader, openSafetensors, SafetensorsError } from "../../formats/safetensors.ts";
import type { SafetensorsSet } from "../../formats/safetensors-index.ts";
import { readRows, rowMajorStrides, type StoredFloat } from "../../formats/stored-tensor.ts";
import { type BlockBits, blockColumns, blocksPerRow, quantizeBlocks } from "./block-quantization.ts";
import type { DecoderConfig } from "./config.ts";
import { parameterNames, parameterSpecs } from "./parameters.ts";
import type { StoredBlocks } from "./quantized-matrix.ts";

export const quantizedPrecisions = ["int8", "int4"] as const;
export type QuantizedPrecision = (typeof quantizedPrecisions)[number];

/** Changes with everything that changes the integers, so that a file of another recipe is never taken for this one. */
const recipe = "symmetric-blocks-32-v1";

interface BlockSpec {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly bits: BlockBits;
}

/** Where 4 bits cost more than they save: the values and, in every second layer, the way back from the feed-forward. */
const sensitive = /\.v_proj\.weight$|layers\.\d*[02468]\.mlp\.down_proj\.weight$/;

/**
 * int8: every matrix of the blocks and the lm head at 8 bits. int4: at 4 bits, but the lm head and the sensitive ones at 8. Norms,
 * biases, convolutions, routers of experts and the rows of the embedding stay as they are.
 * What the exceptions bring, in nats lost by int4: without any 0.55 on text that minimind2-small had sampled (0.38 with 8-bit values, 0.21
 * with half of the feed-forwards too, 0.19 with all), the lm head alone 0.004 of 0.006 on demo-small's held-out text.
 */
function blockSpecs(config: DecoderConfig, precision: QuantizedPrecision): BlockSpec[] {
  const { head } = parameterNames(config);
  const bits = (name: string) => (precision === "int8" || name === head || sensitive.test(name) ? 8 : 4);
  return parameterSpecs(config)
    .filter(({ name, kind, shape }) => (kind === "matrix" && shape.length === 2) || name === head)
    .map(({ name, shape }) => ({ name, rows: shape[0]!, columns: shape[1]!, bits: bits(name) }));
}

/** Per matrix `{name}.packed` and `{name}.scales`, in this order. */
function tensorSpecs(specs: readonly BlockSpec[]) {
  return specs.flatMap(({ name, rows, columns, bits }) => {
    const blocks = blocksPerRow(columns);
    return [
      { name: `${name}.packed`, dtype: "U8" as const, shape: [rows, blocks, (blockColumns * bits) / 8] },
      { name: `${name}.scales`, dtype: "F32" as const, shape: [rows, blocks] },
    ];
  });
}

/** Numbers that are in memory at once as float32: 16 MB. */
const chunkNumbers = 2 ** 22;

/**
 * Quantises the checkpoint's matrices into one safetensors file, in bounded memory. Equal checkpoints give equal files, byte for
 * byte. `step` hears of the weights done and may end the work by throwing.
 *
 * @throws SafetensorsError when a weight is not finite
 */
export async function writeQuantizedWeights(
  config: DecoderConfig,
  set: SafetensorsSet,
  precision: QuantizedPrecision,
  path: string,
  step: (done: number, total: number) => Promise<void> = async () => {},
): Promise<void> {
  const specs = blockSpecs(config, precision);
  const header = encodeSafetensorsHeader(tensorSpecs(specs), { recipe, precision });
  const total = specs.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const out = await open(path, "w");
  try {
    await out.write(header);
    let [at, done] = [header.byteLength, 0];
    for (const spec of specs) {
      const packedBytes = (spec.rows * blocksPerRow(spec.columns) * blockColumns * spec.bits) / 8;
      let [packedAt, scalesAt] = [at, at + packedBytes];
      for await (const weights of rowChunks(set, spec)) {
        const { packed, scales } = quantize(spec, weights);
        packedAt += await writeAt(out, packed, packedAt);
        scalesAt += await writeAt(out, scales, scalesAt);
        done += weights.length;
        await step(done, total);
      }
      at = scalesAt;
    }
  } finally {
    await out.close();
  }
}

async function* rowChunks(set: SafetensorsSet, { name, rows, columns }: BlockSpec): AsyncGenerator<Float32Array> {
  const { dtype, shape, offset, file } = set.tensors.get(name)!;
  const handle = await open(file.path, "r");
  try {
    const stored = { file: handle, dtype: dtype as StoredFloat, shape, strides: rowMajorStrides(shape), offset };
    const rowsAtOnce = Math.max(1, Math.floor(chunkNumbers / columns));
    for (let row = 0; row < rows; row += rowsAtOnce)
      yield await readRows(stored, row, Math.min(rows, row + rowsAtOnce));
  } finally {
    await handle.close();
  }
}

function quantize({ name, columns, bits }: BlockSpec, weights: Float32Array) {
  try {
    return quantizeBlocks(weights, columns, bits);
  } catch (error) {
    throw new SafetensorsError(`tensor ${JSON.stringify(name)}: ${(error as Error).message}`);
  }
}

async function writeAt(out: FileHandle, data: Uint8Array | Float32Array, at: number): Promise<number> {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await out.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
  }
  return bytes.byteLength;
}

export interface QuantizedWeights {
  readonly path: string;
  /** Numbers that are stored as integers. */
  readonly weights: number;
  /** What an open graph holds of them: integers, scales, and a sum a block that the kernel makes of them. */
  readonly residentBytes: number;
  /** null: the checkpoint's own numbers are used. */
  blocks(name: string): (StoredBlocks & { readonly rows: number; readonly columns: number }) | null;
}

/**
 * Reads the header of such a file and checks it against the model.
 *
 * @throws SafetensorsError when it is of another recipe or lacks a matrix
 */
export async function openQuantizedWeights(config: DecoderConfig, path: string): Promise<QuantizedWeights> {
  const { tensors, metadata } = await openSafetensors(path);
  const precision = quantizedPrecisions.find((one) => one === metadata.precision);
  if (metadata.recipe !== recipe || !precision) {
    throw new SafetensorsError(
      `${path}: quantised by the recipe ${JSON.stringify(metadata.recipe)}, ${recipe} is read; import the model again`,
    );
  }
  const specs = blockSpecs(config, precision);
  for (const { name, shape } of tensorSpecs(specs)) {
    const found = tensors.get(name);
    if (found?.shape.join() === shape.join()) continue;
    throw new SafetensorsError(
      `${path}: tensor ${name} must be [${shape.join(", ")}], it ${found ? `is [${found.shape.join(", ")}]` : "is missing"}`,
    );
  }
  const range = (name: string) => {
    const { offset, lengthBytes } = tensors.get(name)!;
    return { file: path, offset, lengthBytes };
  };
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  return {
    path,
    weights: specs.reduce((sum, { rows, columns }) => sum + rows * columns, 0),
    residentBytes: specs.reduce(
      (sum, { rows, columns, bits }) => sum + rows * blocksPerRow(columns) * ((blockColumns * bits) / 8 + 8),
      0,
    ),
    blocks(name) {
      const spec = byName.get(name);
      return spec ? { ...spec, packed: range(`${name}.packed`), scales: range(`${name}.scales`) } : null;
    },
  };
}
