import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../formats/half-float.ts";
import {
  encodeSafetensors,
  openSafetensors,
  parseSafetensors,
  readTensorFloat32,
  SafetensorsError,
  toFloat32,
  writeSafetensors,
} from "../../formats/safetensors.ts";
import { openSafetensorsSet, readSetFloat32 } from "../../formats/safetensors-index.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A file with this header, verbatim, and so many bytes of data. */
function fileOf(header: unknown, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + text.byteLength + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  out.set(text, 8);
  return out;
}

const f32 = (name: string, values: number[]) => ({
  name,
  dtype: "F32" as const,
  shape: [values.length],
  data: Float32Array.from(values),
});

describe("safetensors", () => {
  it("what is written is read back, with metadata and shapes", async () => {
    const path = join(folder, "whole.safetensors");
    const bits = float32ToBfloat16(Float32Array.of(1, -2, 0.5, 3));
    await writeSafetensors(path, [f32("a", [1, 2, 3]), { name: "b", dtype: "BF16", shape: [2, 2], data: bits }], {
      format: "pt",
    });
    const file = await openSafetensors(path);
    expect(file.metadata).toEqual({ format: "pt" });
    expect(file.tensors.get("b")).toMatchObject({ dtype: "BF16", shape: [2, 2], lengthBytes: 8 });
    expect([...(await readTensorFloat32(file, "a"))]).toEqual([1, 2, 3]);
    expect([...(await readTensorFloat32(file, "b"))]).toEqual([1, -2, 0.5, 3]);
    expect((await readdir(folder)).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });

  it("a file in memory is read like one on disk, scalars and empty tensors included", () => {
    const bytes = encodeSafetensors([
      { name: "empty", dtype: "F32", shape: [0, 4], data: new Float32Array() },
      { name: "scalar", dtype: "F32", shape: [], data: Float32Array.of(7) },
    ]);
    const file = parseSafetensors(bytes);
    expect(file.float32("scalar")[0]).toBe(7);
    expect(file.float32("empty")).toHaveLength(0);
  });

  const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = "F32") => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const faults: [string, unknown, number, RegExp][] = [
    ["overlapping tensors", { a: entry(0, 8), b: entry(4, 12) }, 12, /"b".*overlaps/],
    ["two names for the same bytes", { a: entry(0, 8), b: entry(0, 8) }, 8, /overlaps/],
    ["a gap", { a: entry(0, 4), b: entry(8, 12) }, 12, /"b".*gap/],
    ["a tensor beyond the file", { a: entry(0, 16) }, 8, /"a".*ends at byte/],
    ["bytes that no tensor covers", { a: entry(0, 4) }, 12, /tensors end at/],
    ["offsets that run backwards", { a: entry(8, 4, [1]) }, 8, /backwards/],
    ["an unknown dtype", { a: entry(0, 4, [4], "F3") }, 4, /"a".*unknown dtype "F3"/],
    ["elements that do not fill their last byte", { a: entry(0, 2, [3], "F4") }, 2, /needs 1\.5 bytes/],
    ["a wide element in too few bytes", { a: entry(0, 4, [2], "U64") }, 4, /needs 16 bytes.*give 4/],
    ["a dtype that is a property of every object", { a: entry(0, 4, [4], "constructor") }, 4, /unknown dtype/],
    ["a shape that needs more bytes", { a: entry(0, 8, [3]) }, 8, /needs 12 bytes.*give 8/],
    ["a shape whose size overflows", { a: entry(0, 8, [2 ** 40, 2 ** 40]) }, 8, /needs/],
    ["a negative size", { a: entry(0, 4, [-1]) }, 4, /shape/],
    ["a fractional offset", { a: { dtype: "F32", shape: [1], data_offsets: [0.5, 4.5] } }, 8, /data_offsets/],
    [
      "a key given twice",
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      4,
      /"a" twice/,
    ],
    [
      "a key given twice inside an entry",
      '{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}',
      4,
      /"dtype" twice/,
    ],
    ["metadata that is not strings", { __metadata__: { n: 1 } }, 0, /__metadata__/],
    ["a header that is an array", "[]", 0, /object/],
    ["a header that is not JSON", '{"a":', 0, /not JSON/],
  ];
  it.each(faults)("%s is refused", (_name, header, dataBytes, message) => {
    expect(() => parseSafetensors(fileOf(header, dataBytes))).toThrow(SafetensorsError);
    expect(() => parseSafetensors(fileOf(header, dataBytes))).toThrow(message);
  });

  it("a header longer than the file or than the limit is refused before it is read", async () => {
    const path = join(folder, "long.safetensors");
    const bytes = fileOf({ a: entry(0, 4) }, 4);
    new DataView(bytes.buffer).setBigUint64(0, 10_000n, true);
    await writeFile(path, bytes);
    await expect(openSafetensors(path)).rejects.toThrow(/claims 10000 bytes but the file has/);
    new DataView(bytes.buffer).setBigUint64(0, 2n ** 63n, true);
    await writeFile(path, bytes);
    await expect(openSafetensors(path)).rejects.toThrow(/at most 100000000/);
    await writeFile(path, bytes.subarray(0, 5));
    await expect(openSafetensors(path)).rejects.toThrow(/at least 8/);
  });

  const sizes = [
    ["C64", 8],
    ["U64", 8],
    ["U32", 4],
    ["U16", 2],
    ["F8_E4M3", 1],
    ["F8_E5M2", 1],
    ["F8_E8M0", 1],
    ["F8_E4M3FNUZ", 1],
    ["F8_E5M2FNUZ", 1],
    ["F6_E2M3", 0.75],
    ["F6_E3M2", 0.75],
    ["F4", 0.5],
  ] as const;
  it.each(sizes)("a file with a tensor of %s is read, and only that tensor is refused as numbers", (dtype, bytes) => {
    const end = 4 + 8 * bytes;
    const header = { a: entry(0, 4), unused: entry(4, end, [2, 4], dtype) };
    const file = parseSafetensors(fileOf(header, end));
    expect(file.tensors.get("unused")).toMatchObject({ dtype, lengthBytes: 8 * bytes });
    expect(file.float32("a")).toHaveLength(1);
    expect(() => file.float32("unused")).toThrow(`tensor "unused" has dtype ${dtype}`);
  });

  it("a key may look like structure", () => {
    const bytes = encodeSafetensors([f32('{"a":[', [1]), f32("\\", [2])]);
    expect(parseSafetensors(bytes).float32('{"a":[')[0]).toBe(1);
  });

  it("damage to any header byte is refused or leaves a file that still covers itself", () => {
    const bytes = encodeSafetensors([f32("weight", [1, 2, 3, 4]), f32("bias", [5, 6])]);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length - 25 }), fc.integer({ min: 0, max: 255 }), (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        try {
          const file = parseSafetensors(damaged);
          const total = [...file.tensors.values()].reduce((sum, item) => sum + item.lengthBytes, file.dataOffset);
          expect(total).toBe(damaged.length);
        } catch (error) {
          expect(error).toBeInstanceOf(SafetensorsError);
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});

describe("sharded checkpoints", () => {
  it("a tensor is found in its shard, and a missing shard or tensor is named", async () => {
    const sharded = await mkdtemp(join(folder, "shards-"));
    await writeSafetensors(join(sharded, "model-1.safetensors"), [f32("a", [1])]);
    await writeSafetensors(join(sharded, "model-2.safetensors"), [f32("b", [2, 3])]);
    const index = (map: Record<string, string>) =>
      writeFile(join(sharded, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
    await index({ a: "model-1.safetensors", b: "model-2.safetensors" });
    const set = await openSafetensorsSet(sharded);
    expect([...(await readSetFloat32(set, "b"))]).toEqual([2, 3]);
    expect(() => readSetFloat32(set, "c")).toThrow(/"c" is missing/);
    await index({ a: "model-1.safetensors", c: "model-2.safetensors" });
    await expect(openSafetensorsSet(sharded)).rejects.toThrow(/"c" in model-2.safetensors/);
    await index({ a: "model-3.safetensors" });
    await expect(openSafetensorsSet(sharded)).rejects.toThrow(/model-3.safetensors is missing/);
    await index({ a: "../model-1.safetensors" });
    await expect(openSafetensorsSet(sharded)).rejects.toThrow(/not a file name/);
  });

  it("a single file beside an index is the checkpoint; the index and its shards are not looked at", async () => {
    const both = await mkdtemp(join(folder, "both-"));
    await writeFile(
      join(both, "model.safetensors.index.json"),
      JSON.stringify({ weight_map: { a: "model-1.safetensors" } }),
    );
    await writeSafetensors(join(both, "model-1.safetensors"), [f32("a", [1])]);
    expect([...(await readSetFloat32(await openSafetensorsSet(both), "a"))]).toEqual([1]);
    await writeSafetensors(join(both, "model.safetensors"), [f32("a", [2])]);
    const set = await openSafetensorsSet(both);
    expect([...(await readSetFloat32(set, "a"))]).toEqual([2]);
    expect(set.files.map(({ path }) => path)).toEqual([join(both, "model.safetensors")]);
    await rm(join(both, "model-1.safetensors"));
    expect((await openSafetensorsSet(both)).tensors.size).toBe(1);
  });
});

it("values are read from the middle of a Buffer, whose own slice would not copy", () => {
  const buffer = Buffer.alloc(13);
  for (const [i, value] of [1.5, -2].entries()) buffer.writeFloatLE(value, 3 + 4 * i);
  expect([...toFloat32(buffer.subarray(3, 11), { name: "a", dtype: "F32" })]).toEqual([1.5, -2]);
});

describe("sixteen-bit floats", () => {
  it("every float16 and bfloat16 survives the way to float32 and back", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const halves = float32ToFloat16(float16ToFloat32(all));
    const brains = float32ToBfloat16(bfloat16ToFloat32(all));
    const isNaN16 = (bits: number) => (bits & 0x7fff) > 0x7c00;
    const isNaNBrain = (bits: number) => (bits & 0x7fff) > 0x7f80;
    for (let i = 0; i < 65536; i++) {
      if (isNaN16(i) ? !isNaN16(halves[i]!) : halves[i] !== i) throw new Error(`float16 ${i} became ${halves[i]}`);
      if (isNaNBrain(i) ? !isNaNBrain(brains[i]!) : brains[i] !== i)
        throw new Error(`bfloat16 ${i} became ${brains[i]}`);
    }
    expect(halves).toHaveLength(65536);
  });

  it("rounding goes to the nearest, ties to even, and overflow to infinity", () => {
    const half = (x: number) => float16ToFloat32(float32ToFloat16(Float32Array.of(x)))[0];
    expect(half(1 + 2 ** -11)).toBe(1);
    expect(half(1 + 3 * 2 ** -11)).toBe(1 + 2 ** -9);
    expect(half(65519)).toBe(65504);
    expect(half(65520)).toBe(Number.POSITIVE_INFINITY);
    expect(half(2 ** -25)).toBe(0);
    expect(half(3 * 2 ** -25)).toBe(2 ** -23);
    const brain = (x: number) => bfloat16ToFloat32(float32ToBfloat16(Float32Array.of(x)))[0];
    expect(brain(1 + 2 ** -8)).toBe(1);
    expect(brain(1 + 3 * 2 ** -8)).toBe(1 + 2 ** -6);
  });
});
