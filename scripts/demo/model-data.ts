// Token batches for training the demonstration model: every batch is a function of its number, so a resumed run sees
// exactly the text that an undisturbed one would have seen.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { createRandom } from "../../engine/runtime/random.ts";
import { corpus, drawRecord, type MixtureName } from "../corpus/corpus.ts";
import type { Lexicon } from "../corpus/lexicon.ts";
import type { CorpusRecord, Language } from "../corpus/record.ts";

export const END_OF_TEXT = "<|endoftext|>";

export type Encode = (text: string) => number[];

export function loadEncoder(folder: string): Encode {
  const read = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
  return (text) => tokenizer.encode(text).ids;
}

export interface BatchShape {
  readonly batch: number;
  readonly sequenceLength: number;
}

/** Fills sequences with whole documents, each closed by end-of-text; every sequence begins with a document. */
export function packBatch(encode: Encode, shape: BatchShape, next: () => CorpusRecord): Int32Array {
  const ids = new Int32Array(shape.batch * shape.sequenceLength);
  for (let s = 0; s < shape.batch; s++) {
    const row: number[] = [];
    while (row.length < shape.sequenceLength) row.push(...encode(next().text + END_OF_TEXT));
    ids.set(row.slice(0, shape.sequenceLength), s * shape.sequenceLength);
  }
  return ids;
}

export function trainingBatch(
  lexicon: Lexicon,
  encode: Encode,
  shape: BatchShape,
  seed: number,
  index: number,
  mixture: MixtureName,
): Int32Array {
  const records = corpus(lexicon, "train", createRandom(seed).fork(`batch ${index}`), mixture);
  return packBatch(encode, shape, () => records.next().value);
}

/** Held-out documents of one language (`und`: sums and code), the same for every model and every run. */
export function* heldOutBatches(
  lexicon: Lexicon,
  encode: Encode,
  shape: BatchShape,
  language: Language | "und",
): Generator<Int32Array, never> {
  const random = createRandom("held-out").fork(language);
  const next = (): CorpusRecord => {
    for (;;) {
      const record = drawRecord(lexicon, "heldout", random);
      if (record.language === language && !record.drift && !record.repetition && !record.answerLanguage) return record;
    }
  };
  for (;;) yield packBatch(encode, shape, next);
}
