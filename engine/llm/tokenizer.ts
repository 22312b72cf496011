// Text to token ids and back, from a checkpoint's tokenizer.json.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { TimeLimitError, withinTime } from "./time-limit.ts";

export interface Tokenizer {
  /**
   * Ids with the post-processor's special tokens only when `addSpecial`; special tokens written in the text are recognised.
   *
   * @throws TokenizerError when the tokenizer's patterns take too long for the text
   */
  encode(text: string, options?: { readonly addSpecial?: boolean }): number[];
  /** The text of the ids, bytes that are not UTF-8 replaced by U+FFFD. Special tokens are left out unless asked for. */
  decode(ids: Iterable<number>, options?: { readonly special?: boolean }): string;
  /** The bytes that a token stands for; an id that the tokenizer does not know stands for none. */
  bytesOf(id: number): Uint8Array;
  /** What a token looks like on its own: its bytes as text. */
  textOf(id: number): string;
  isSpecial(id: number): boolean;
  idOf(token: string): number | null;
  /** One above the largest id; a model's vocabulary is often padded beyond it. */
  readonly size: number;
}

/** tokenizer.json is absent, malformed, or of a kind that this engine does not read; the message says which. */
export class TokenizerError extends Error {
  override readonly name = "TokenizerError";
}

type Json = Readonly<Record<string, unknown>>;

/** A millisecond is enough for 1,000 characters on one core; a pattern that backtracks may need longer than there is. */
const patternLimitMs = 5_000;
const millisecondsPerCharacter = 0.02;
/** 150,000 entries take a second. */
const openLimitMs = 120_000;

export async function readTokenizer(folder: string): Promise<{ tokenizer: Tokenizer; config: Json }> {
  const json = await readJson(join(folder, "tokenizer.json"));
  if (json === null) throw new TokenizerError(`the file tokenizer.json is missing in ${folder}`);
  const config = (await readJson(join(folder, "tokenizer_config.json"))) ?? {};
  return { tokenizer: createTokenizer(json, config), config };
}

async function readJson(path: string): Promise<Json | null> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Json;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    if (error instanceof SyntaxError) throw new TokenizerError(`${path} is not JSON: ${error.message}`);
    throw error;
  }
}

/** `limitMs`: how long one text may take, besides 20 µs a character. */
export function createTokenizer(json: Json, config: Json = {}, limitMs = patternLimitMs): Tokenizer {
  const decoder = decoderKind(json.decoder as Json | null | undefined);
  if (decoder !== "ByteLevel") {
    throw new TokenizerError(
      `tokenizer.json has the decoder ${JSON.stringify(decoder ?? null)}; byte-level tokenizers are supported`,
    );
  }
  const library = openLibrary(json, config);
  const added = new Map<number, { content: string; special: boolean }>();
  for (const [id, token] of library.get_added_tokens_decoder()) added.set(id, token);
  const size = 1 + [...library.get_vocab(true).values()].reduce((highest, id) => Math.max(highest, id), -1);
  const bytes = new Map<number, Uint8Array>();

  const bytesOf = (id: number): Uint8Array => {
    let found = bytes.get(id);
    if (!found) {
      const extra = added.get(id);
      const token = extra ? null : library.id_to_token(id);
      found = extra ? encoder.encode(extra.content) : byteLevelBytes(token ?? "");
      bytes.set(id, found);
    }
    return found;
  };
  const isSpecial = (id: number) => added.get(id)?.special ?? false;

  return {
    size,
    bytesOf,
    isSpecial,
    encode(text, options) {
      const settings = { add_special_tokens: options?.addSpecial ?? false };
      const what = `the patterns of tokenizer.json on a text of ${text.length} characters`;
      return limited(what, limitMs + millisecondsPerCharacter * text.length, () => library.encode(text, settings).ids);
    },
    decode(ids, options) {
      const parts: Uint8Array[] = [];
      for (const id of ids) if (options?.special || !isSpecial(id)) parts.push(bytesOf(id));
      return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(parts));
    },
    textOf: (id) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(id)),
    idOf: (token) => library.token_to_id(token) ?? null,
  };
}

/** The decoder's type. A sequence of one decoder is that decoder; a longer one, or an empty one, is named with its members. */
function decoderKind(decoder: Json | null | undefined): unknown {
  if (decoder?.type !== "Sequence" || !Array.isArray(decoder.decoders)) return decoder?.type;
  const members = decoder.decoders.map((member: Json | null) => member?.type);
  return members.length === 1 ? members[0] : `Sequence[${members.join(", ")}]`;
}

function openLibrary(json: Json, config: Json): HuggingFaceTokenizer {
  try {
    return withinTime(openLimitMs, () => new HuggingFaceTokenizer(json, config));
  } catch (error) {
    throw new TokenizerError(`tokenizer.json could not be read: ${(error as Error).message}`);
  }
}

function limited<T>(what: string, limitMs: number, work: () => T): T {
  try {
    return withinTime(Math.ceil(limitMs), work);
  } catch (error) {
    if (error instanceof TimeLimitError) throw new TokenizerError(`${what}: ${error.message}`);
    throw error;
  }
}

const encoder = new TextEncoder();
const byteOfCharacter = byteLevelAlphabet();

/**
 * The byte-level alphabet of GPT-2: printable Latin-1 characters stand for their own byte, the others for 256, 257, … in order.
 * (Radford et al. 2019; every tokenizer with a ByteLevel decoder writes its vocabulary in it.)
 */
function byteLevelAlphabet(): Map<string, number> {
  const alphabet = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    alphabet.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return alphabet;
}

function byteLevelBytes(token: string): Uint8Array {
  const out = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i]!);
    // A vocabulary entry outside the alphabet is literal text, as the reference decoder takes it.
    if (byte === undefined) return encoder.encode(token);
    out[i] = byte;
  }
  return out;
}
