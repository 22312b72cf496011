// Tokens as the pieces of text that they are, for showing a text token by token.
import type { Tokenizer } from "./tokenizer.ts";

/**
 * The text of each token, such that all of them joined are the text of the ids, special tokens written out. A character whose
 * bytes are spread over several tokens stands with the last of them, the others are empty; bytes that are no UTF-8 become U+FFFD.
 */
export function tokenTexts(ids: Iterable<number>, tokenizer: Pick<Tokenizer, "bytesOf">): string[] {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const texts = Array.from(ids, (id) => decoder.decode(tokenizer.bytesOf(id), { stream: true }));
  const rest = decoder.decode();
  if (rest !== "" && texts.length > 0) texts[texts.length - 1] += rest;
  return texts;
}
