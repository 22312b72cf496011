// Trains the byte-level BPE tokenizer of the demonstration model and writes it in Hugging Face layout.
//
//   npx tsx scripts/train-tokenizer.ts [folder]      (default: assets/models/demo-small)

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createRandom } from "../engine/runtime/random.ts";
import { trainBpe } from "./corpus/bpe.ts";
import { corpus } from "./corpus/corpus.ts";
import { readLexicon } from "./corpus/lexicon.ts";

export const SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;
export const VOCABULARY_SIZE = 4096;
const SAMPLE_BYTES = 12_000_000;
const SEED = 1;
export const CONTEXT_LENGTH = 512;

/** Qwen's pattern: contractions, words with one leading mark, single digits, marks, line ends, spaces. */
export const PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const CHAT_TEMPLATE =
  "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

function* sample(): Generator<string> {
  const records = corpus(readLexicon(), "train", createRandom(SEED).fork("tokenizer"), "single");
  for (let bytes = 0; bytes < SAMPLE_BYTES; ) {
    const { text } = records.next().value;
    bytes += Buffer.byteLength(text);
    // The markers are tokens of their own and must not lend their letters to merges.
    for (const piece of text.split(/<\|im_start\|>|<\|im_end\|>/)) yield piece;
  }
}

export function trainTokenizer(folder: string): void {
  const { vocabulary, merges } = trainBpe(sample(), {
    pattern: new RegExp(
      PATTERN.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"),
      "gu",
    ),
    size: VOCABULARY_SIZE - SPECIAL_TOKENS.length,
    maxTokenBytes: 24,
    maxWideTokenBytes: 6,
  });
  const vocab = Object.fromEntries([...SPECIAL_TOKENS, ...vocabulary].map((token, id) => [token, id]));
  const added = SPECIAL_TOKENS.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [{ type: "Split", pattern: { Regex: PATTERN }, behavior: "Isolated", invert: false }, byteLevel],
    },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
  const config = {
    tokenizer_class: "Qwen2Tokenizer",
    add_prefix_space: false,
    add_bos_token: false,
    added_tokens_decoder: Object.fromEntries(added.map(({ id, ...rest }) => [String(id), rest])),
    additional_special_tokens: ["<|im_start|>", "<|im_end|>"],
    bos_token: null,
    eos_token: "<|im_end|>",
    pad_token: "<|endoftext|>",
    unk_token: null,
    clean_up_tokenization_spaces: false,
    errors: "replace",
    split_special_tokens: false,
    model_max_length: CONTEXT_LENGTH,
    chat_template: CHAT_TEMPLATE,
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "tokenizer.json"), `${JSON.stringify(tokenizer, null, 1)}\n`);
  writeFileSync(join(folder, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const folder = process.argv[2] ?? "assets/models/demo-small";
  trainTokenizer(folder);
  console.log(`Wrote ${folder}/tokenizer.json with ${VOCABULARY_SIZE} tokens.`);
}
