import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSampleFile, type SampleFile } from "../../workers/sample-file.ts";
import { createTokenOrder, FIRST_PLACE, type TokenPlace, type TokenSequence } from "../../workers/token-order.ts";

const texts = Array.from({ length: 40 }, (_, index) => `${index} `.repeat(1 + (index % 7)));
// One token a character: what matters here is the order, not the words.
const encode = (text: string) => Int32Array.from(text, (character) => character.codePointAt(0)!);

let folder: string;
let samples: SampleFile;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "token-order-"));
  const lines = Buffer.from(texts.map((text) => JSON.stringify({ text })).join("\n"));
  // Chunks that split lines anywhere, also inside a number.
  const chunks = async function* () {
    for (let at = 0; at < lines.length; at += 7) yield lines.subarray(at, at + 7);
  };
  const blobs = { get: async () => chunks(), put: () => Promise.reject(new Error("not used")) };
  samples = await openSampleFile(blobs, "any", join(folder, "samples.jsonl"));
});
afterAll(async () => {
  await samples.close();
  await rm(folder, { recursive: true });
});

const orderOf = (seed: number) => createTokenOrder({ samples, encode, contextLength: 8, seed, heldOutFraction: 0.1 });

async function take(source: AsyncIterable<TokenSequence>, count: number): Promise<TokenSequence[]> {
  const taken: TokenSequence[] = [];
  for await (const sequence of source) {
    taken.push(sequence);
    if (taken.length === count) break;
  }
  return taken;
}

const words = (sequences: readonly TokenSequence[]) => sequences.map(({ ids }) => String.fromCodePoint(...ids));

describe("the order in which a run reads a dataset", () => {
  test("every sample of the file is found at its place", async () => {
    expect(samples.count).toBe(40);
    for (const index of [0, 1, 17, 39]) expect(await samples.read(index)).toEqual({ text: texts[index] });
  });

  test("a run that goes on from any place reads what an undisturbed one reads", async () => {
    const whole = await take(orderOf(5).from(FIRST_PLACE), 300);
    for (const at of [0, 1, 17, 120, 250]) {
      const place: TokenPlace = whole[at]!.next;
      const rest = await take(orderOf(5).from(place), 40);
      expect(words(rest)).toEqual(words(whole.slice(at + 1, at + 41)));
    }
  });

  test("a pass visits every training sample once, and no held-out one", async () => {
    const order = orderOf(1);
    const heldOut = new Set(words(await take(order.heldOut(), 1000)));
    const first: string[] = [];
    for await (const sequence of order.from(FIRST_PLACE)) {
      if (sequence.next.pass > 0) break;
      first.push(String.fromCodePoint(...sequence.ids));
    }
    const pieces = texts.flatMap((text) => text.match(/.{1,8}/g) ?? []).filter((piece) => piece.length > 1);
    expect([...first, ...heldOut].toSorted()).toEqual(pieces.toSorted());
    expect(order.heldOutSamples).toBe(4);
    expect(order.trainingSamples).toBe(36);
  });

  test("another seed gives another order, the same seed the same", async () => {
    const of = async (seed: number) => words(await take(orderOf(seed).from(FIRST_PLACE), 20));
    expect(await of(3)).toEqual(await of(3));
    expect(await of(3)).not.toEqual(await of(4));
  });

  test("a dataset without a usable sequence ends instead of spinning", async () => {
    const order = createTokenOrder({
      samples,
      encode: () => Int32Array.of(1),
      contextLength: 8,
      seed: 0,
      heldOutFraction: 0.1,
    });
    expect(await take(order.from(FIRST_PLACE), 1)).toEqual([]);
  });
});
