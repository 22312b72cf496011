// Keys and values of the tokens so far, for the slots of one batch, laid out as the graph reads them.
//
// Slots are the outermost dimension: the graph is fed a view of the first of them, so one slot more costs a copy of its own numbers,
// not of its neighbours'. Columns are an inner dimension, so more columns move every row; that happens in place while the arrays
// have room. What lies beyond a sequence's length is finite and masked, which is all the graph asks of it.

import type { DecoderConfig } from "./config.ts";
import { convolvedChannels } from "./delta-net-config.ts";
import { type CacheView, columnGroup, type ForwardResult } from "./forward.ts";

/**
 * One array of a layer. Each slot has `rows` runs of columns, each column `width` numbers; a fixed one has `width` numbers a slot,
 * whatever the number of tokens, and each forward replaces them.
 */
interface Part {
  readonly rows: number;
  readonly width: number;
  readonly fixed: boolean;
}

type PartName = "keys" | "values" | "states" | "convolutions";
type Parts = Readonly<Partial<Record<PartName, Part>>>;
type Layer = Partial<Record<PartName, Float32Array>>;

/** Keys and values are [slot, kvHeads, column, headDim]. */
function partsOf({ kvHeads, headDim, layerKinds, deltaNet }: DecoderConfig, layer: number): Parts {
  if (layerKinds[layer]!.mixer === "delta_net") {
    const { valueHeads, keyDim, valueDim, kernel } = deltaNet!;
    return {
      states: { rows: 1, width: valueHeads * keyDim * valueDim, fixed: true },
      convolutions: { rows: 1, width: (kernel - 1) * convolvedChannels(deltaNet!), fixed: true },
    };
  }
  return {
    keys: { rows: kvHeads, width: headDim, fixed: false },
    values: { rows: kvHeads, width: headDim, fixed: false },
  };
}

/** Bytes that one cached token takes over all layers. */
export function cacheBytesPerToken(config: DecoderConfig): number {
  return bytesOfParts(config, false);
}

/** Bytes that a sequence takes over all layers however long it is. */
export function cacheBytesPerSequence(config: DecoderConfig): number {
  return bytesOfParts(config, true);
}

function bytesOfParts(config: DecoderConfig, fixed: boolean): number {
  const parts = Array.from({ length: config.layers }, (_, layer) => Object.values(partsOf(config, layer))).flat();
  return parts.reduce((sum, part) => sum + (part.fixed === fixed ? 4 * part.rows * part.width : 0), 0);
}

/** Columns that hold so many tokens: whole groups, because the graph sums scores in groups. */
export function columnsFor(tokens: number): number {
  return Math.ceil(tokens / columnGroup) * columnGroup;
}

export interface CacheOptions {
  /** The blocks that are run, inclusive, when not all are; the others have no memory of their own. */
  readonly firstLayer?: number;
  readonly lastLayer?: number;
  /** Bytes that its arrays may take when they must be made anew: beyond the need, up to twice of it. Default: no more than the need. */
  readonly grantedBytes?: () => number;
}

export class KeyValueCache {
  readonly config: DecoderConfig;
  readonly #layers: Layer[];
  /** The arrays of the layers that are run. */
  readonly #arrays: readonly { readonly layer: number; readonly name: PartName; readonly part: Part }[];
  readonly #grantedBytes: () => number;
  #lengths: number[];
  #columns: number;

  constructor(config: DecoderConfig, slots: number, tokens: number, options: CacheOptions = {}) {
    const { firstLayer = 0, lastLayer = config.layers - 1 } = options;
    this.config = config;
    this.#arrays = Array.from({ length: lastLayer - firstLayer + 1 }, (_, i) => firstLayer + i).flatMap((layer) =>
      (Object.entries(partsOf(config, layer)) as [PartName, Part][]).map(([name, part]) => ({ layer, name, part })),
    );
    this.#layers = Array.from({ length: config.layers }, () => ({}));
    for (const { layer, name } of this.#arrays) this.#layers[layer]![name] = nothing;
    this.#grantedBytes = options.grantedBytes ?? (() => 0);
    this.#lengths = [];
    this.#columns = 0;
    this.#reshape(slots, columnsFor(tokens));
    this.#lengths = new Array<number>(slots).fill(0);
  }

  get slots(): number {
    return this.#lengths.length;
  }

  get columns(): number {
    return this.#columns;
  }

  /** Tokens in each slot. */
  get lengths(): Int32Array {
    return Int32Array.from(this.#lengths);
  }

  /** What its arrays take in memory, room for growing included. */
  get sizeBytes(): number {
    return this.#arrays.reduce((sum, { layer, name }) => sum + (this.#layers[layer]![name]?.byteLength ?? 0), 0);
  }

  get view(): CacheView {
    const used = (name: PartName) => {
      let filler = nothing;
      return this.#layers.map(({ [name]: own }, layer) => {
        const part = partsOf(this.config, layer)[name];
        if (!part) return nothing;
        const size = sizeOf(part, this.slots, this.#columns);
        if (own) return own.subarray(0, size);
        if (filler.length !== size) filler = new Float32Array(size);
        return filler;
      });
    };
    const [keys, values, states, convolutions] = [used("keys"), used("values"), used("states"), used("convolutions")];
    return { columns: this.#columns, keys, values, states, convolutions };
  }

  /** Makes room for so many tokens in every slot; without `columns` with one group to spare, so that growing is rare. */
  reserve(tokens: number, columns = columnsFor(tokens) + columnGroup): void {
    if (tokens > this.#columns) this.#reshape(this.slots, Math.max(columns, columnsFor(tokens)));
  }

  /**
   * Adds a slot with what another cache of one slot holds, and leaves that one empty: layer by layer, so that no more than a layer of
   * it exists twice.
   */
  absorb(from: KeyValueCache): void {
    const [slot, length] = [this.slots, from.#lengths[0]!];
    const columns = Math.max(this.#columns, columnsFor(length));
    for (const { layer, name, part } of this.#arrays) {
      this.#reshapeArray(layer, name, part, slot + 1, columns);
      const source = { array: from.#layers[layer]![name]!, slot: 0, columns: from.#columns, start: 0 };
      copyColumns(part, source, { array: this.#layers[layer]![name]!, slot, columns, start: 0 }, length);
      from.#layers[layer]![name] = nothing;
    }
    this.#columns = columns;
    this.#lengths.push(length);
    from.#lengths = [];
  }

  /** Takes a slot out; the last one moves to its place. Columns that nobody needs any more go, when they are many or beyond `mostColumns`. */
  remove(slot: number, mostColumns: number): void {
    const last = this.slots - 1;
    for (const { layer, name, part } of this.#arrays) {
      const size = sizeOf(part, 1, this.#columns);
      this.#layers[layer]![name]!.copyWithin(slot * size, last * size, (last + 1) * size);
    }
    this.#lengths[slot] = this.#lengths[last]!;
    this.#lengths.pop();
    const needed = Math.min(columnsFor(Math.max(0, ...this.#lengths)) + columnGroup, mostColumns);
    if (needed <= 0.75 * this.#columns || this.#columns > mostColumns) this.#reshape(this.slots, needed);
  }

  /** Gives back the memory beyond what its slots and columns take. */
  compact(): void {
    for (const { layer, name, part } of this.#arrays) {
      const own = this.#layers[layer]![name]!;
      const size = sizeOf(part, this.slots, this.#columns);
      if (own.length > size) this.#layers[layer]![name] = own.slice(0, size);
    }
  }

  /**
   * Appends the first `tokens` of the new keys and values of sequence s of a forward over T tokens, and takes its new states.
   *
   * @throws RangeError when the states are those after another number of tokens: the forward must be told `newLengths`
   */
  append(slot: number, result: CachedTokens, sequence: number, T: number, tokens: number): void {
    const length = this.#lengths[slot]!;
    const counted = result.newLengths?.[sequence] ?? T;
    if (this.config.deltaNet && counted !== tokens) {
      throw new RangeError(`the states are those after ${counted} tokens, not after ${tokens}`);
    }
    this.reserve(length + tokens);
    const { newKeys: keys, newValues: values, newStates: states = [], newConvolutions: convolutions = [] } = result;
    const fresh = { keys, values, states, convolutions };
    for (const { layer, name, part } of this.#arrays) {
      const source = { array: fresh[name][layer]!, slot: sequence, columns: T, start: 0 };
      const target = { array: this.#layers[layer]![name]!, slot, columns: this.#columns, start: length };
      copyColumns(part, source, target, tokens);
    }
    this.#lengths[slot] = length + tokens;
  }

  /**
   * Takes the states of a forward over all slots as they are: appending its sequences then copies none (5 ms of 68 a step for eight
   * sequences and six layers of Qwen3.5-0.8B's sizes).
   */
  takeStates({ newStates = [], newConvolutions = [] }: CachedTokens): void {
    for (const { layer, name } of this.#arrays) {
      if (name === "states") this.#layers[layer]![name] = newStates[layer]!;
      if (name === "convolutions") this.#layers[layer]![name] = newConvolutions[layer]!;
    }
  }

  #reshape(slots: number, columns: number): void {
    for (const { layer, name, part } of this.#arrays) this.#reshapeArray(layer, name, part, slots, columns);
    this.#columns = columns;
  }

  /** Moves what an array holds to rows of so many columns, in place where it is large enough. */
  #reshapeArray(layer: number, name: PartName, part: Part, slots: number, columns: number): void {
    const own = this.#layers[layer]![name]!;
    const size = sizeOf(part, slots, columns);
    if (own.length >= size) {
      moveRows(own, own, part, this.#lengths, this.#columns, columns);
      return;
    }
    const bytes = slots * (columns * cacheBytesPerToken(this.config) + cacheBytesPerSequence(this.config));
    const granted = Math.min(2, Math.max(1, this.#grantedBytes() / bytes));
    const larger = new Float32Array(Math.floor(size * granted));
    moveRows(own, larger, part, this.#lengths, this.#columns, columns);
    this.#layers[layer]![name] = larger;
  }
}

/** What a forward adds to a cache. */
export type CachedTokens = Pick<ForwardResult, "newKeys" | "newValues"> &
  Partial<Pick<ForwardResult, "newStates" | "newConvolutions" | "newLengths">>;

const nothing = new Float32Array();

function sizeOf({ rows, width, fixed }: Part, slots: number, columns: number): number {
  return slots * rows * width * (fixed ? 1 : columns);
}

interface Place {
  readonly array: Float32Array;
  readonly slot: number;
  readonly columns: number;
  /** The first column. */
  readonly start: number;
}

function copyColumns({ rows, width, fixed }: Part, from: Place, to: Place, count: number): void {
  if (fixed) {
    if (from.array === to.array && from.slot === to.slot) return;
    to.array.set(from.array.subarray(from.slot * width, (from.slot + 1) * width), to.slot * width);
    return;
  }
  const numbers = count * width;
  for (let row = 0; row < rows; row++) {
    const source = ((from.slot * rows + row) * from.columns + from.start) * width;
    const target = ((to.slot * rows + row) * to.columns + to.start) * width;
    to.array.set(from.array.subarray(source, source + numbers), target);
  }
}

/** Moves the rows of every slot from one number of columns to another, in the order that lets both be the same array. */
function moveRows(
  from: Float32Array,
  to: Float32Array,
  { rows, width, fixed }: Part,
  lengths: readonly number[],
  fromColumns: number,
  toColumns: number,
): void {
  if (fixed) {
    if (from !== to) to.set(from.subarray(0, lengths.length * width));
    return;
  }
  if (from === to && fromColumns === toColumns) return;
  const all = lengths.length * rows;
  const upwards = toColumns > fromColumns;
  for (let i = 0; i < all; i++) {
    const row = upwards ? all - 1 - i : i;
    const source = row * fromColumns * width;
    const end = source + lengths[Math.floor(row / rows)]! * width;
    if (from === to) to.copyWithin(row * toColumns * width, source, end);
    else to.set(from.subarray(source, end), row * toColumns * width);
  }
}
