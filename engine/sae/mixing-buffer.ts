// Rows of one sequence resemble each other; a gradient step wants rows that do not. The buffer stands between the two.

import type { Random, RandomState } from "../runtime/random.ts";

export interface MixingBufferState {
  readonly rows_BD: Float32Array;
  readonly random: RandomState;
}

export interface MixingBuffer {
  readonly count: number;
  readonly isFull: boolean;
  /** Copies rows in, starting with the `from`th of `indices`, until the buffer is full; returns how many it took. */
  add(acts_BD: Float32Array, indices: Int32Array, from: number): number;
  /** Takes `rows` rows out, uniformly without replacement, into `into_BD`. */
  draw(rows: number, into_BD: Float32Array): void;
  /** The rows held now, not copied: valid until the next `add` or `draw`. */
  peek(): Float32Array;
  state(): MixingBufferState;
}

/**
 * A buffer of `capacity` rows that is kept full: every batch is drawn from all of them and the next rows fill the
 * holes, so each batch mixes as many sequences as the buffer spans. The order depends on `random` alone.
 */
export function createMixingBuffer(
  dModel: number,
  capacity: number,
  random: Random,
  state?: MixingBufferState,
): MixingBuffer {
  const held_BD = new Float32Array(capacity * dModel);
  let count = 0;
  if (state) {
    if (state.rows_BD.length > held_BD.length || state.rows_BD.length % dModel !== 0) {
      throw new RangeError(`a buffer of ${capacity} rows of ${dModel} cannot hold ${state.rows_BD.length} numbers`);
    }
    held_BD.set(state.rows_BD);
    count = state.rows_BD.length / dModel;
    random.restore(state.random);
  }

  return {
    get count() {
      return count;
    },
    get isFull() {
      return count === capacity;
    },
    add(acts_BD, indices, from) {
      const taken = Math.min(capacity - count, indices.length - from);
      for (let i = from; i < from + taken; i++) {
        const row = indices[i]! * dModel;
        held_BD.set(acts_BD.subarray(row, row + dModel), count++ * dModel);
      }
      return taken;
    },
    draw(rows, into_BD) {
      if (rows > count) throw new RangeError(`the buffer holds ${count} rows, ${rows} were asked for`);
      for (let i = 0; i < rows; i++) {
        const row = random.int(count) * dModel;
        into_BD.set(held_BD.subarray(row, row + dModel), i * dModel);
        // The last row moves into the hole: what is left stays dense.
        count--;
        held_BD.copyWithin(row, count * dModel, (count + 1) * dModel);
      }
    },
    peek: () => held_BD.subarray(0, count * dModel),
    state: () => ({ rows_BD: held_BD.slice(0, count * dModel), random: random.state() }),
  };
}
