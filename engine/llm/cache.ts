// Keys and values of the tokens so far, for the slots of one batch, laid out as the graph reads them.

import type { DecoderConfig } from "./config.ts";
import { type CacheView, columnGroup, type ForwardResult } from "./forward.ts";

/** Bytes that one cached token takes over all layers. */
export function cacheBytesPerToken({ layers, kvHeads, headDim }: DecoderConfig): number {
  return 2 * layers * kvHeads * headDim * 4;
}

/** Columns that hold so many tokens: whole groups, because the graph sums scores in groups. */
export function columnsFor(tokens: number): number {
  return Math.ceil(tokens / columnGroup) * columnGroup;
}

export class KeyValueCache {
  readonly config: DecoderConfig;
  readonly slots: number;
  /** Tokens in each slot. */
  readonly lengths: Int32Array;
  readonly #firstLayer: number;
  readonly #lastLayer: number;
  #columns: number;
  #keys: Float32Array[];
  #values: Float32Array[];

  /** `run`: the blocks that are run, inclusive, when not all are; the others share one buffer of filler. */
  constructor(
    config: DecoderConfig,
    slots: number,
    tokens: number,
    run: { readonly firstLayer?: number; readonly lastLayer?: number } = {},
  ) {
    this.#firstLayer = run.firstLayer ?? 0;
    this.#lastLayer = run.lastLayer ?? config.layers - 1;
    this.config = config;
    this.slots = slots;
    this.lengths = new Int32Array(slots);
    this.#columns = columnsFor(tokens);
    this.#keys = this.#buffers();
    this.#values = this.#buffers();
  }

  get view(): CacheView {
    return { columns: this.#columns, keys: this.#keys, values: this.#values };
  }

  #buffers(): Float32Array[] {
    const { layers, kvHeads, headDim } = this.config;
    const size = this.slots * kvHeads * headDim * this.#columns;
    const all = this.#lastLayer - this.#firstLayer + 1 === layers;
    const filler = new Float32Array(all ? 0 : size);
    return Array.from({ length: layers }, (_, layer) => (this.#isRun(layer) ? new Float32Array(size) : filler));
  }

  #isRun(layer: number): boolean {
    return layer >= this.#firstLayer && layer <= this.#lastLayer;
  }

  /** Makes room for so many tokens in every slot, with one group to spare so that growing is rare. */
  reserve(tokens: number): void {
    if (tokens <= this.#columns) return;
    const before = this.view;
    this.#columns = columnsFor(tokens) + columnGroup;
    this.#keys = this.#buffers();
    this.#values = this.#buffers();
    for (let slot = 0; slot < this.slots; slot++) this.#copy(before, slot, slot, this.lengths[slot]!);
  }

  /** Takes over what another cache holds in one of its slots. */
  adopt(slot: number, from: KeyValueCache, fromSlot: number): void {
    const length = from.lengths[fromSlot]!;
    this.reserve(length);
    this.clear(slot);
    this.#copy(from.view, fromSlot, slot, length);
    this.lengths[slot] = length;
  }

  /** Empties a slot. Its numbers stay: they are finite and masked, which is all the graph asks of them. */
  clear(slot: number): void {
    this.lengths[slot] = 0;
  }

  /** Appends the first `tokens` of the new keys and values of sequence s of a forward over T tokens. */
  append(slot: number, result: ForwardResult, sequence: number, T: number, tokens: number): void {
    const length = this.lengths[slot]!;
    this.reserve(length + tokens);
    const { kvHeads, headDim, layers } = this.config;
    const columns = this.#columns;
    for (let layer = 0; layer < layers; layer++) {
      if (!this.#isRun(layer)) continue;
      const [keys, values] = [this.#keys[layer]!, this.#values[layer]!];
      const [newKeys, newValues] = [result.newKeys[layer]!, result.newValues[layer]!];
      for (let head = 0; head < kvHeads; head++) {
        const to = slot * kvHeads + head;
        const from = sequence * kvHeads + head;
        values.set(
          newValues.subarray(from * T * headDim, (from * T + tokens) * headDim),
          (to * columns + length) * headDim,
        );
        for (let d = 0; d < headDim; d++) {
          const source = (from * headDim + d) * T;
          const target = (to * headDim + d) * columns + length;
          for (let t = 0; t < tokens; t++) keys[target + t] = newKeys[source + t]!;
        }
      }
    }
    this.lengths[slot] = length + tokens;
  }

  #copy(from: CacheView, fromSlot: number, toSlot: number, length: number): void {
    const { kvHeads, headDim, layers } = this.config;
    for (let layer = 0; layer < layers; layer++) {
      if (!this.#isRun(layer)) continue;
      for (let head = 0; head < kvHeads; head++) {
        const [a, b] = [fromSlot * kvHeads + head, toSlot * kvHeads + head];
        const values = from.values[layer]!.subarray(a * from.columns * headDim, (a * from.columns + length) * headDim);
        this.#values[layer]!.set(values, b * this.#columns * headDim);
        for (let d = 0; d < headDim; d++) {
          const start = (a * headDim + d) * from.columns;
          this.#keys[layer]!.set(from.keys[layer]!.subarray(start, start + length), (b * headDim + d) * this.#columns);
        }
      }
    }
  }
}
