import { describe, expect, it } from "vitest";
import { sampleRows } from "../../../engine/features/sample-rows.ts";
import type { ActivationBatch } from "../../../engine/runtime/activations.ts";

/** Sequences 4 (three tokens) and 5 (one token), D = 2; layer 7 holds ten times layer 3. */
function batch(change: Partial<ActivationBatch> = {}): ActivationBatch {
  const layer3 = Float32Array.of(100, 0, 1, 2, 3, 4, 5, 6);
  return {
    layers: [3, 7],
    activations: [layer3, layer3.map((value) => value * 10)],
    rows: 4,
    sequence: Int32Array.of(4, 4, 4, 5),
    position: Int32Array.of(0, 1, 2, 0),
    tokenId: new Int32Array(4),
    ...change,
  };
}

describe("the rows that stand for a sample", () => {
  it("are the last token's by the paper's definition", () => {
    const { rows_RD, sequence_R } = sampleRows(batch(), 7, "last");
    expect(Array.from(rows_RD)).toEqual([30, 40, 50, 60]);
    expect(Array.from(sequence_R)).toEqual([4, 5]);
  });

  it("are the mean without position 0, unless that is all there is", () => {
    expect(Array.from(sampleRows(batch(), 3, "mean").rows_RD)).toEqual([2, 3, 5, 6]);
  });

  it("are every token's but position 0, together per sample", () => {
    const { rows_RD, sequence_R } = sampleRows(batch(), 3, "any");
    expect(Array.from(rows_RD)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(Array.from(sequence_R)).toEqual([4, 4, 5]);
  });

  it("are refused for a layer that was not harvested, and for a sequence in pieces", () => {
    expect(() => sampleRows(batch(), 5, "last")).toThrow("layer 5: the batch has only 3, 7");
    const cut = batch({ position: Int32Array.of(1, 2, 3, 0) });
    expect(() => sampleRows(cut, 3, "last")).toThrow("sequence 4: its rows in the batch are not all its positions");
  });
});
