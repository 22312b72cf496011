// Writes assets/text and assets/benchmarks from the grammars.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../../engine/runtime/random.ts";
import { makeBenchmarks } from "../corpus/benchmarks.ts";
import { corpus } from "../corpus/corpus.ts";
import { readLexicon } from "../corpus/lexicon.ts";
import type { Split } from "../corpus/record.ts";

/** Bytes of JSON Lines: enough text for a short training run of saes, and a twentieth of it held out. */
const TEXT_BYTES: Readonly<Record<Split, number>> = { train: 3_000_000, heldout: 150_000 };

export function makeText(folder: string): void {
  const lexicon = readLexicon();
  mkdirSync(folder, { recursive: true });
  for (const split of ["train", "heldout"] as const) {
    const records = corpus(lexicon, split, createRandom("text").fork(split));
    const lines: string[] = [];
    for (let bytes = 0; bytes < TEXT_BYTES[split]; bytes += Buffer.byteLength(lines.at(-1)!)) {
      lines.push(`${JSON.stringify(records.next().value)}\n`);
    }
    writeFileSync(join(folder, `${split}.jsonl`), lines.join(""));
  }
}

export function writeBenchmarks(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, rows } of makeBenchmarks(readLexicon())) {
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
}
