// Sampled tokens as text for a reader: whole characters only, nothing of a stop string, and each token with the text it began.

import { createStopMatcher } from "./stopping.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface StreamedPiece<Token> {
  readonly text: string;
  /** Tokens whose text is released with this piece or before it. */
  readonly tokens: readonly Token[];
  /** A stop string was met; what followed it is gone. */
  readonly stopped: boolean;
}

export interface TokenStream<Token> {
  push(token: Token): StreamedPiece<Token>;
  /** What is still held back at the end: an unfinished character becomes U+FFFD, an unfinished stop string is text after all. */
  flush(): StreamedPiece<Token>;
}

/**
 * Characters may be spread over tokens (byte-level BPE) and stop strings too. Special tokens have no text. Positions count UTF-16
 * units of the text so far.
 */
export function createTokenStream<Token extends { readonly id: number }>(
  tokenizer: Tokenizer,
  stops: readonly string[],
): TokenStream<Token> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const matcher = createStopMatcher(stops);
  const waiting: { token: Token; start: number }[] = [];
  let decoded = 0;
  let released = 0;

  const release = (piece: string, ended: boolean): StreamedPiece<Token> => {
    const { text, stopped } = matcher.push(piece);
    const rest = ended && !stopped ? matcher.flush() : "";
    const shown = text + rest;
    released += shown.length;
    const tokens: Token[] = [];
    // A token goes out with its first character; at the end those without any go too, but none that a stop string swallowed.
    while (waiting.length > 0 && (waiting[0]!.start < released || (ended && !stopped)))
      tokens.push(waiting.shift()!.token);
    if (stopped) waiting.length = 0;
    return { text: shown, tokens, stopped };
  };

  return {
    push(token) {
      waiting.push({ token, start: decoded });
      const piece = tokenizer.isSpecial(token.id) ? "" : decoder.decode(tokenizer.bytesOf(token.id), { stream: true });
      decoded += piece.length;
      return release(piece, false);
    },
    flush() {
      const piece = decoder.decode();
      decoded += piece.length;
      return release(piece, true);
    },
  };
}
