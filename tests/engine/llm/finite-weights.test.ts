import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { findNotFinite } from "../../../engine/llm/finite-weights.ts";
import { encodeSafetensors } from "../../../formats/safetensors.ts";
import { openSafetensorsSet } from "../../../formats/safetensors-index.ts";

/** Bits of 1, the largest finite number, infinity, minus infinity and a NaN. */
const bits = {
  F32: { array: Uint32Array, good: [0x3f800000, 0x7f7fffff, 0x80000001], bad: [0x7f800000, 0xff800000, 0x7fc00001] },
  F16: { array: Uint16Array, good: [0x3c00, 0x7bff, 0x8001], bad: [0x7c00, 0xfc00, 0x7e01] },
  BF16: { array: Uint16Array, good: [0x3f80, 0x7f7f, 0x8001], bad: [0x7f80, 0xff80, 0x7fc1] },
} as const;

it.each(Object.keys(bits) as (keyof typeof bits)[])(
  "finds each %s that is not finite, and nothing else",
  async (dtype) => {
    const folder = await mkdtemp(join(tmpdir(), "finite-"));
    const { array, good, bad } = bits[dtype];
    const fine = new array(Array.from({ length: 30 }, (_, i) => good[i % 3]!));
    const tensorOf = (name: string, words: Uint16Array | Uint32Array) => ({
      name,
      dtype,
      shape: [words.length],
      data: new Uint8Array(words.buffer),
    });
    const find = async (second: Uint16Array | Uint32Array, names = ["a", "b"]) => {
      await writeFile(
        join(folder, "model.safetensors"),
        encodeSafetensors([tensorOf("a", fine), tensorOf("b", second)]),
      );
      const read: number[] = [];
      const found = await findNotFinite(await openSafetensorsSet(folder), names, async (done) => {
        read.push(done);
      });
      return { found, read };
    };
    const size = fine.byteLength;
    expect(await find(fine)).toEqual({ found: null, read: [size, 2 * size] });
    for (const word of bad) {
      const { found } = await find(fine.with(29, word));
      expect(found).toEqual({ name: "b", index: 29 });
      expect((await find(fine.with(0, word), ["a"])).found).toBeNull();
    }
    await rm(folder, { recursive: true });
  },
);
