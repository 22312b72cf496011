import { describe, expect, it } from "vitest";
import { fromBfloat16Bits, fromFloat16Bits, toBfloat16Bits, toFloat16Bits } from "../../../engine/onnx/dtype.ts";

describe("half floats", () => {
  const finite = Array.from({ length: 65536 }, (_, bits) => bits);

  it("survive a round trip, every one of the 65536 float16 patterns", () => {
    const changed = finite.filter((bits) => {
      const x = fromFloat16Bits(bits);
      return !Number.isNaN(x) && toFloat16Bits(x) !== bits;
    });
    expect(changed).toEqual([]);
  });

  it("survive a round trip, every one of the 65536 bfloat16 patterns", () => {
    const changed = finite.filter((bits) => {
      const x = fromBfloat16Bits(bits);
      return !Number.isNaN(x) && toBfloat16Bits(x) !== bits;
    });
    expect(changed).toEqual([]);
  });

  it("are the ones of IEEE 754", () => {
    const table: readonly [number, number][] = [
      [0, 0x0000],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2, 0xc000],
      [65504, 0x7bff],
      [65520, 0x7c00],
      [2 ** -24, 0x0001],
      [2 ** -25, 0x0000],
      [3 * 2 ** -25, 0x0002],
      [2 ** -14, 0x0400],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [2047.5 / 1024, 0x4000],
      [Number.NEGATIVE_INFINITY, 0xfc00],
    ];
    expect(table.map(([x]) => toFloat16Bits(x))).toEqual(table.map(([, bits]) => bits));
    expect(Number.isNaN(fromFloat16Bits(toFloat16Bits(Number.NaN)))).toBe(true);
  });

  it("round to the nearest, ties to even, in bfloat16 too", () => {
    expect([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -3.4e38].map(toBfloat16Bits)).toEqual([
      0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xff80,
    ]);
    expect(Number.isNaN(fromBfloat16Bits(toBfloat16Bits(Number.NaN)))).toBe(true);
  });
});
