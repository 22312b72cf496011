// Activations with a known sparse structure: x = Σ of a few of G true unit directions, with positive strengths, plus an offset.

import type { ActivationBatch } from "../../../engine/runtime/activations.ts";
import { createRandom, type Random } from "../../../engine/runtime/random.ts";

export interface SparseWorld {
  readonly dModel: number;
  readonly directions_GD: Float32Array;
  readonly offset_D: Float32Array;
  readonly active: number;
}

export function createSparseWorld({
  dModel = 24,
  features = 40,
  active = 3,
  seed = 1,
  offset = 0.5,
} = {}): SparseWorld {
  const random = createRandom(seed);
  const directions_GD = new Float32Array(features * dModel);
  for (let f = 0; f < features; f++) {
    const row = directions_GD.subarray(f * dModel, (f + 1) * dModel);
    for (let d = 0; d < dModel; d++) row[d] = random.normal();
    const norm = Math.hypot(...row);
    for (let d = 0; d < dModel; d++) row[d]! /= norm;
  }
  const offset_D = Float32Array.from({ length: dModel }, () => offset * random.normal());
  return { dModel, directions_GD, offset_D, active };
}

export function drawRows(world: SparseWorld, rows: number, random: Random): Float32Array {
  const { dModel, directions_GD, offset_D, active } = world;
  const features = directions_GD.length / dModel;
  const acts_BD = new Float32Array(rows * dModel);
  for (let b = 0; b < rows; b++) {
    const row = acts_BD.subarray(b * dModel, (b + 1) * dModel);
    row.set(offset_D);
    for (let i = 0; i < active; i++) {
      const f = random.int(features);
      const strength = 1 + random.float();
      for (let d = 0; d < dModel; d++) row[d]! += strength * directions_GD[f * dModel + d]!;
    }
  }
  return acts_BD;
}

/** Batches of sequences of 16 rows for some layers; layer n sees the activations times n + 1. */
export function* activationBatches(
  world: SparseWorld,
  { rows, batch, layers = [0], seed = 7 }: { rows: number; batch: number; layers?: number[]; seed?: number },
): Generator<ActivationBatch> {
  const random = createRandom(seed);
  for (let done = 0; done < rows; done += batch) {
    const acts_BD = drawRows(world, batch, random);
    yield {
      layers,
      activations: layers.map((layer) => acts_BD.map((x) => x * (layer + 1))),
      rows: batch,
      sequence: Int32Array.from({ length: batch }, (_, b) => Math.floor((done + b) / 16)),
      position: Int32Array.from({ length: batch }, (_, b) => (done + b) % 16),
      tokenId: new Int32Array(batch),
    };
  }
}
