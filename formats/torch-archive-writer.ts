import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { rowMajorStrides, type StoredFloat } from "./stored-tensor.ts";
import { bytesOfSpec, createTensorFile, type TensorFile, type TensorSpec } from "./tensor-file.ts";
import { TorchArchiveError } from "./torch-archive.ts";

/** torch maps tensors into memory when they begin at a multiple of this. */
const ALIGNMENT = 64;
/** Sizes and positions beyond need zip64, which is not written. */
const LARGEST = 2 ** 32 - 1;
const PREFIX = "archive";

interface Entry {
  readonly name: string;
  /** Null for the numbers of a tensor, which are in the file already. */
  readonly content: Uint8Array | null;
  readonly sizeBytes: number;
  readonly headerAt: number;
  readonly dataAt: number;
}

/**
 * A file that `torch.load(path, weights_only=True)` and `openTorchArchive` read as a dictionary of these tensors, in the given order.
 *
 * @throws TorchArchiveError for more than 4 GiB
 */
export async function createTorchArchive(path: string, specs: readonly TensorSpec[]): Promise<TensorFile> {
  const entries: Entry[] = [];
  let at = 0;
  const add = (name: string, content: Uint8Array | null, sizeBytes: number) => {
    const dataAt = Math.ceil((at + headerBytes(name)) / ALIGNMENT) * ALIGNMENT;
    entries.push({ name: `${PREFIX}/${name}`, content, sizeBytes, headerAt: at, dataAt });
    at = dataAt + sizeBytes;
  };
  const addText = (name: string, content: Uint8Array) => add(name, content, content.byteLength);
  addText("data.pkl", pickleOf(specs));
  addText("byteorder", Buffer.from("little"));
  for (const [index, spec] of specs.entries()) add(`data/${index}`, null, bytesOfSpec(spec));
  addText("version", Buffer.from("3\n"));
  const directoryAt = at;
  const directoryBytes = entries.reduce((sum, { name }) => sum + 46 + name.length, 0);
  const sizeBytes = directoryAt + directoryBytes + 22;
  if (sizeBytes > LARGEST)
    throw new TorchArchiveError(`the file would have ${sizeBytes} bytes; at most ${LARGEST} are written`);
  const offsets = entries.filter(({ content }) => content === null).map(({ dataAt }) => dataAt);

  return await createTensorFile(path, specs, {
    sizeBytes,
    offsets,
    async complete(file) {
      const directory: Uint8Array[] = [];
      for (const entry of entries) {
        if (entry.content) await writeAt(file, entry.content, entry.dataAt);
        const crc = await checksum(file, entry);
        await writeAt(file, localHeader(entry, crc), entry.headerAt);
        directory.push(centralHeader(entry, crc));
      }
      const end = endRecord(entries.length, directoryBytes, directoryAt);
      await writeAt(file, Buffer.concat([...directory, end]), directoryAt);
    },
  });
}

/** Local header with its name and the shortest extra field. */
function headerBytes(name: string): number {
  return 30 + PREFIX.length + 1 + name.length + 4;
}

async function checksum(file: FileHandle, { dataAt, sizeBytes }: Entry): Promise<number> {
  const chunk = new Uint8Array(Math.min(2 ** 22, sizeBytes));
  let sum = 0;
  for (let done = 0; done < sizeBytes; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.byteLength, sizeBytes - done), dataAt + done);
    sum = crc32(chunk.subarray(0, bytesRead), sum);
    done += bytesRead;
  }
  return sum;
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  await file.write(bytes, 0, bytes.byteLength, position);
}

/** 1 January 1980, the first day that a zip archive knows. */
const DATE = 0x21;
const UTF8_NAMES = 0x800;

function localHeader({ name, sizeBytes, headerAt, dataAt }: Entry, crc: number): Uint8Array {
  const header = Buffer.alloc(dataAt - headerAt, "Z");
  const extraBytes = header.length - 30 - name.length;
  header.writeUInt32LE(0x04034b50, 0);
  commonFields(header, 4, sizeBytes, crc, name.length);
  header.writeUInt16LE(extraBytes, 28);
  header.write(name, 30, "ascii");
  // The field that torch itself pads with.
  header.write("FB", 30 + name.length, "ascii");
  header.writeUInt16LE(extraBytes - 4, 30 + name.length + 2);
  return header;
}

function centralHeader({ name, sizeBytes, headerAt }: Entry, crc: number): Uint8Array {
  const header = Buffer.alloc(46 + name.length);
  header.writeUInt32LE(0x02014b50, 0);
  commonFields(header, 6, sizeBytes, crc, name.length);
  header.writeUInt32LE(headerAt, 42);
  header.write(name, 46, "ascii");
  return header;
}

/** From "version needed" to the length of the name: the same in both headers. Method 0 is stored. */
function commonFields(header: Buffer, at: number, sizeBytes: number, crc: number, nameBytes: number): void {
  header.writeUInt16LE(0, at);
  header.writeUInt16LE(UTF8_NAMES, at + 2);
  header.writeUInt16LE(0, at + 4);
  header.writeUInt16LE(0, at + 6);
  header.writeUInt16LE(DATE, at + 8);
  header.writeUInt32LE(crc, at + 10);
  header.writeUInt32LE(sizeBytes, at + 14);
  header.writeUInt32LE(sizeBytes, at + 18);
  header.writeUInt16LE(nameBytes, at + 22);
}

function endRecord(entries: number, directoryBytes: number, directoryAt: number): Uint8Array {
  const record = Buffer.alloc(22);
  record.writeUInt32LE(0x06054b50, 0);
  record.writeUInt16LE(entries, 8);
  record.writeUInt16LE(entries, 10);
  record.writeUInt32LE(directoryBytes, 12);
  record.writeUInt32LE(directoryAt, 16);
  return record;
}

const storageNames: Readonly<Record<StoredFloat, string>> = {
  F64: "DoubleStorage",
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
};

/** Protocol 2, without a memo: the few bytes that repetition costs are not worth one. */
function pickleOf(specs: readonly TensorSpec[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from([0x80, 2]), ascii("}"), ascii("(")];
  for (const [index, { name, dtype, shape }] of specs.entries()) {
    const elements = shape.reduce((product, size) => product * size, 1);
    parts.push(text(name), global("torch._utils", "_rebuild_tensor_v2"), ascii("(("), text("storage"));
    parts.push(global("torch", storageNames[dtype]), text(String(index)), text("cpu"), integer(elements), ascii("tQ"));
    parts.push(
      integer(0),
      ascii("("),
      ...shape.map(integer),
      ascii("t("),
      ...rowMajorStrides(shape).map(integer),
      ascii("t"),
    );
    parts.push(Buffer.from([0x89]), global("collections", "OrderedDict"), ascii(")RtR"));
  }
  parts.push(ascii("u."));
  return Buffer.concat(parts);
}

function ascii(characters: string): Uint8Array {
  return Buffer.from(characters, "ascii");
}

function global(module: string, name: string): Uint8Array {
  return ascii(`c${module}\n${name}\n`);
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value, "utf8");
  const head = Buffer.alloc(5, "X");
  head.writeUInt32LE(bytes.byteLength, 1);
  return Buffer.concat([head, bytes]);
}

/** LONG1 holds any size; eight bytes hold every safe integer with its sign. */
function integer(value: number): Uint8Array {
  const out = Buffer.alloc(10);
  out[0] = 0x8a;
  out[1] = 8;
  out.writeBigInt64LE(BigInt(value), 2);
  return out;
}
