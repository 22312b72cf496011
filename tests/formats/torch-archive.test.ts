import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PickleDict, type PickleValue, readPickle } from "../../formats/pickle.ts";
import { openSafetensors, readTensorFloat32 } from "../../formats/safetensors.ts";
import { readRows, transposed, writeRows } from "../../formats/stored-tensor.ts";
import { floatTensor, openTorchArchive, type TorchArchive } from "../../formats/torch-archive.ts";
import { createTorchArchive } from "../../formats/torch-archive-writer.ts";
import { type ZipPart, zipOf } from "./zip.ts";

const fixtures = new URL("../fixtures/torch/", import.meta.url).pathname;
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "torch-"));
});
afterAll(() => rm(scratch, { recursive: true }));

let files = 0;
async function openBytes(bytes: Uint8Array): Promise<TorchArchive> {
  const path = join(scratch, `${files++}.pt`);
  await writeFile(path, bytes);
  return await openTorchArchive(path);
}

async function refusal(bytes: Uint8Array): Promise<string> {
  const opened = await openBytes(bytes).catch((error: Error) => error);
  if (opened instanceof Error) {
    expect(opened.name).toBe("TorchArchiveError");
    return opened.message;
  }
  await opened.close();
  throw new Error("the file was read");
}

/** An archive with this pickle and one storage of eight float32 zeros. */
const archiveOf = (pickle: string | Uint8Array, more: readonly ZipPart[] = []) =>
  zipOf([
    { name: "x/data.pkl", bytes: Buffer.from(pickle as string, "latin1") },
    { name: "x/data/0", bytes: Buffer.alloc(32) },
    ...more,
  ]);

/** A dictionary of one tensor over storage 0, its parts as pickle text. */
const tensorPickle = ({
  type = "torch\nFloatStorage",
  key = "0",
  elements = 8,
  offset = 0,
  size = "K\x08",
  stride = "K\x01",
}) => {
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
  const storage = `(${text("storage")}c${type}\n${text(key)}${text("cpu")}K${String.fromCharCode(elements)}tQ`;
  const dict = "ccollections\nOrderedDict\n)R";
  const rebuilt = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}K${String.fromCharCode(offset)}(${size}t(${stride}t\x89${dict}tR`;
  return Buffer.from(`\x80\x02}${text("a")}${rebuilt}s.`, "latin1");
};

describe("a file that torch.save wrote", () => {
  for (const name of ["tensors", "protocol-4"]) {
    it(`${name} holds the numbers that torch reads, whatever their view, type and protocol`, async () => {
      const archive = await openTorchArchive(join(fixtures, `${name}.pt`));
      const reference = await openSafetensors(join(fixtures, "reference.safetensors"));
      expect([...archive.tensors.keys()].sort()).toEqual([...reference.tensors.keys()].sort());
      for (const { name, shape, dtype } of reference.tensors.values()) {
        expect(archive.tensors.get(name)).toMatchObject({ shape, dtype });
        if (!["F64", "F32", "F16", "BF16"].includes(dtype) || shape.length === 0) continue;
        const tensor = floatTensor(archive, name);
        const expected = await readTensorFloat32(reference, name);
        expect(await readRows(tensor, 0, shape[0]!)).toEqual(expected);
        if (shape.length !== 2 || shape[0] === 0) continue;
        const [rows, columns] = shape as [number, number];
        expect(await readRows(tensor, 1, rows - 1)).toEqual(expected.slice(columns, (rows - 1) * columns));
        const columnOne = Float32Array.from({ length: rows }, (_, row) => expected[row * columns + 1]!);
        expect(await readRows(transposed(tensor), 1, 2)).toEqual(columnOne);
      }
      await archive.close();
    });
  }

  it("gives its plain values apart from its tensors", async () => {
    const { plain, close } = await openTorchArchive(join(fixtures, "tensors.pt"));
    expect(plain.get("k")).toBe(5);
    expect(plain.get("note")).toBe("plain values are kept beside");
    expect([...(plain.get("nested") as PickleDict)]).toEqual([["a", [1, 2.5, null, [true]]]]);
    await close();
  });

  it("may be a state_dict, whose notes are passed over", async () => {
    const { tensors, plain, close } = await openTorchArchive(join(fixtures, "state-dict.pt"));
    expect([...tensors.values()].map(({ name, shape }) => [name, shape])).toEqual([
      ["weight", [2, 3]],
      ["bias", [2]],
    ]);
    expect(plain.size).toBe(0);
    await close();
  });

  for (const [name, reason] of [
    ["legacy", /format from before version 1\.6.*save it again/],
    ["module", /pickle byte \d+: the global torch\.nn\.modules\.linear\.Linear is not known/],
    ["sparse", /pickle byte \d+: the global torch\._utils\._rebuild_sparse_tensor is not known/],
    ["uint16", /pickle byte \d+: the global torch\._utils\._rebuild_tensor_v3 is not known/],
    ["meta", /pickle byte \d+: the global torch\._utils\._rebuild_meta_tensor_no_storage is not known/],
    ["expanded", /pickle byte \d+: a tensor of 1000 numbers in a storage of 1/],
    ["lone-tensor", /holds no dictionary of tensors/],
  ] as const) {
    it(`is refused when it is ${name}, by what is in it`, async () => {
      expect(await refusal(await readFile(join(fixtures, `${name}.pt`)))).toMatch(reason);
    });
  }

  it("is refused wherever it is cut off", async () => {
    const whole = await readFile(join(fixtures, "state-dict.pt"));
    for (let length = 0; length < whole.length; length += 17) await refusal(whole.subarray(0, length));
  });

  it("never gives anything but a refusal or tensors inside the file when one byte is changed", async () => {
    const whole = await readFile(join(fixtures, "state-dict.pt"));
    const changes = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(changes, async ({ at, byte }) => {
        const bytes = Buffer.from(whole);
        bytes[at] = byte;
        const archive = await openBytes(bytes).catch((error: Error) => {
          expect(error.name).toBe("TorchArchiveError");
          return null;
        });
        for (const { offset } of archive?.tensors.values() ?? []) expect(offset).toBeLessThan(whole.length);
        await archive?.close();
      }),
      { numRuns: 300 },
    );
  });
});

describe("a pickle", () => {
  it("that names a global we do not know is refused before anything else is done with it", async () => {
    expect(await refusal(archiveOf("\x80\x02cos\nsystem\n(X\x02\0\0\0idtR."))).toBe(
      "pickle byte 2: the global os.system is not known",
    );
    const stacked = "\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.";
    expect(await refusal(archiveOf(stacked))).toBe("pickle byte 18: the global builtins.eval is not known");
  });

  for (const [name, code] of [
    ["INST", "(i__builtin__\neval\n."],
    ["OBJ", "(X\x01\0\0\0ao."],
    ["NEWOBJ", "}}\x81."],
    ["REDUCE", "X\x01\0\0\0a)R."],
    ["EXT1", "\x82\x01."],
    ["BUILD", "])b."],
    ["PERSID", "Pabc\n."],
    ["POP", "}0."],
    ["STRING", "S'abc'\n."],
    ["BINBYTES8", "\x8e\xff\xff\xff\xff\xff\xff\xff\xff."],
    ["NEXT_BUFFER", "\x97."],
  ] as const) {
    it(`with ${name} where it is not understood is refused at its byte`, async () => {
      expect(await refusal(archiveOf(`\x80\x02${code}`))).toMatch(/^pickle byte \d+: /);
    });
  }

  const refused = (pickle: string, limits: object) => {
    const names = { knows: () => false, call: (): PickleValue => null, persistent: (): PickleValue => null };
    const all = { bytes: 1e6, operations: 1000, stack: 100, memo: 100, textBytes: 100, ...limits };
    return () => readPickle(Buffer.from(pickle, "latin1"), names, all);
  };

  it("cannot grow beyond its caps", () => {
    expect(refused("N".repeat(200), {})).toThrow(/more than 100 values on the stack/);
    expect(refused("(".repeat(200), {})).toThrow(/more than 100 values on the stack/);
    expect(refused(`${"Nq\0".repeat(10)}Nr\xff\xff\xff\x7f.`, {})).toThrow(/memo 2147483647; at most 100/);
    expect(refused(`${"\x80\x02".repeat(2000)}N.`, {})).toThrow(/more than 1000 operations/);
    expect(refused("X\xff\xff\xff\x7f.", {})).toThrow(/a text of 2147483647 bytes; at most 100/);
    expect(refused("N.", { bytes: 1 })).toThrow(/the pickle has 2 bytes; at most 1/);
  });

  it("whose lists hold each other a thousand billion times is read as the few objects that it is", async () => {
    // Forty lists, each holding the one before twice.
    const byte = (value: number) => String.fromCharCode(value);
    const lists = Array.from({ length: 40 }, (_, i) => `K${byte(i)}](h${byte(i)}h${byte(i)}eq${byte(i + 1)}`);
    const { plain, close } = await openBytes(archiveOf(`\x80\x02}(Kd]q\0${lists.join("")}u.`));
    const top = plain.get("39") as PickleValue[];
    expect(top[0]).toBe(top[1]);
    await close();
  });

  it("with nonsense on its stack is refused", () => {
    for (const code of [
      ".",
      "R.",
      "(.",
      "t.",
      "NN.",
      "N(.",
      "}(Nu.",
      "](Ns.",
      "Nh\x05.",
      "}X\x01\0\0\0aNX\x01\0\0\0aNuu.",
    ]) {
      expect(refused(code, {})).toThrow(/pickle byte/);
    }
  });
});

describe("a tensor", () => {
  const message = (parts: Parameters<typeof tensorPickle>[0], more: readonly ZipPart[] = []) =>
    refusal(archiveOf(tensorPickle(parts), more));

  it("as the builder of these cases makes it is read", async () => {
    const { tensors, close } = await openBytes(archiveOf(tensorPickle({})));
    expect(tensors.get("a")).toMatchObject({ dtype: "F32", shape: [8], strides: [1] });
    await close();
  });

  it("that reaches beyond its storage is refused", async () => {
    expect(await message({ offset: 1 })).toMatch(/reaches beyond its storage of 8 numbers/);
    expect(await message({ size: "K\x08K\x01", stride: "K\x02K\x01" })).toMatch(/reaches beyond its storage of 8/);
    expect(await message({ size: "J\xff\xff\xff\xff" })).toMatch(/size and stride/);
    expect(await message({ size: "J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f", stride: "K\0K\0K\0" })).toMatch(
      /a tensor of .* numbers in a storage of 8/,
    );
  });

  it("whose storage is missing, of another size or of no known kind is refused", async () => {
    expect(await message({ key: "1" })).toMatch(/the storage "1" is not in the archive/);
    expect(await message({ key: "../0" })).toMatch(/the storage "..\/0" is not in the archive/);
    expect(await message({ elements: 9 })).toMatch(/the storage 0 has 32 bytes, its 9 numbers of F32 need 36 bytes/);
    expect(await message({ type: "torch\nDoubleStorage" })).toMatch(/8 numbers of F64 need 64 bytes/);
    expect(await message({ type: "torch\nComplexFloatStorage" })).toMatch(/torch\.ComplexFloatStorage is not known/);
    expect(await message({ type: "collections\nOrderedDict" })).toMatch(/a persistent id that is not a storage/);
  });

  it("in big-endian order is refused", async () => {
    expect(await message({}, [{ name: "x/byteorder", bytes: Buffer.from("big") }])).toMatch(/big byte order/);
  });
});

describe("an archive", () => {
  const part = (name: string, more: Partial<ZipPart> = {}): ZipPart => ({ name, bytes: Buffer.alloc(64), ...more });
  const pickle = part("x/data.pkl", { bytes: tensorPickle({}) });

  it("whose entries are compressed or encrypted is refused, however small it says they are", async () => {
    const bomb = part("x/data/0", { bytes: Buffer.alloc(1e6), deflate: true });
    expect(await refusal(zipOf([pickle, bomb]))).toMatch(/"x\/data\/0" is compressed \(method 8\)/);
    expect(await refusal(zipOf([pickle, part("x/data/0", { lie: { flags: 1 } })]))).toMatch(/is encrypted/);
  });

  it("that declares more than it has is refused", async () => {
    expect(await refusal(zipOf([pickle, part("x/data/0", { lie: { sizeBytes: 1e9 } })]))).toMatch(
      /ends at byte 1\d{9}/,
    );
    expect(await refusal(zipOf([pickle], { entries: 9 }))).toMatch(/entry 1 of 9 is not in the directory/);
    expect(await refusal(zipOf([pickle], { directoryBytes: 2 ** 31 }))).toMatch(/at most 67108864/);
    expect(await refusal(zipOf([pickle], { directoryAt: 1e6 }))).toMatch(/passes its own end record/);
  });

  it("with entries in each other's bytes, twice, or under another name in their own header is refused", async () => {
    const same = part("x/data/0", { lie: { headerAt: 0, ownName: "x/data/0" } });
    expect(await refusal(zipOf([pickle, same]))).toMatch(/is "x\/data\.pkl" in its own header/);
    expect(await refusal(zipOf([pickle, pickle]))).toMatch(/is in the directory twice/);
    expect(await refusal(zipOf([pickle, part("x/data/0", { lie: { ownName: "x/data/9" } })]))).toMatch(/own header/);
    const inner = zipOf([part("x/data/1")]);
    const shared = zipOf([pickle, part("x/data/0", { bytes: inner }), part("x/data/1", { lie: { headerAt: 0 } })]);
    expect(await refusal(shared)).toMatch(/in its own header/);
    const hidden = zipOf([pickle, part("x/data/0", { bytes: inner })]);
    const at = hidden.indexOf("PK\x03\x04", 40) + 38;
    const aimed = zipOf([pickle, part("x/data/0", { bytes: inner }), part("x/data/1", { lie: { headerAt: at } })]);
    expect(await refusal(aimed)).toMatch(/"x\/data\/1" shares bytes with "x\/data\/0"/);
  });

  for (const name of ["../x/data/0", "/etc/passwd", "x\\data\\0", "C:/x", "x/\0"]) {
    it(`with an entry named ${JSON.stringify(name)} is refused`, async () => {
      expect(await refusal(zipOf([pickle, part(name)]))).toMatch(/has a name that leaves the archive/);
    });
  }

  it("without one data.pkl, or of a TorchScript program, is refused", async () => {
    expect(await refusal(zipOf([part("x/data/0")]))).toMatch(/0 entries named \*\/data\.pkl/);
    expect(await refusal(zipOf([pickle, part("y/data.pkl")]))).toMatch(/2 entries/);
    expect(await refusal(zipOf([pickle, part("x/constants.pkl")]))).toMatch(/TorchScript program/);
    expect(await refusal(Buffer.from("no zip at all"))).toMatch(/not a zip archive/);
  });
});

describe("a file that we write", () => {
  const specs = [
    { name: "W_enc", dtype: "F32", shape: [3, 2] },
    { name: "half", dtype: "F16", shape: [4] },
  ] as const;
  async function written(path: string) {
    const file = await createTorchArchive(path, specs);
    const W_enc = file.tensors.get("W_enc")!;
    await writeRows(W_enc, 1, Float32Array.of(3, 4, 5, 6));
    await writeRows(W_enc, 0, Float32Array.of(1, 2));
    await writeRows(file.tensors.get("half")!, 0, Float32Array.of(0.5, -1, 2, 65504));
    return file;
  }

  it("is the file that torch.load was seen to read, byte for byte", async () => {
    const path = join(scratch, "written.pt");
    await (await written(path)).finish();
    expect(await readFile(path)).toEqual(await readFile(join(fixtures, "written.pt")));
    const archive = await openTorchArchive(path);
    expect(await readRows(floatTensor(archive, "W_enc"), 0, 3)).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(await readRows(floatTensor(archive, "half"), 0, 4)).toEqual(Float32Array.of(0.5, -1, 2, 65504));
    await archive.close();
  });

  it("is not there before it is finished, and leaves nothing when it is abandoned", async () => {
    const path = join(scratch, "abandoned.pt");
    await (await written(path)).abandon();
    await expect(stat(path)).rejects.toThrow(/ENOENT/);
  });
});
