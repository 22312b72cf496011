// Byte-pair encoding: learns merges from word counts, most frequent pair first (Sennrich et al. 2016, on bytes).

export interface BpeOptions {
  /** Cuts text into pieces that no merge crosses. */
  readonly pattern: RegExp;
  /** Entries of the vocabulary: the 256 bytes and the merges. */
  readonly size: number;
  readonly maxTokenBytes: number;
  /** The same for tokens with three-byte letters: Chinese has no spaces, and whole clauses would become tokens. */
  readonly maxWideTokenBytes: number;
}

export interface Bpe {
  readonly vocabulary: string[];
  readonly merges: [string, string][];
}

interface Word {
  symbols: string[];
  readonly count: number;
}

/** Ties go to the pair that sorts first, so the same text always gives the same tokenizer. */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): Bpe {
  const words = countWords(texts, options.pattern);
  const vocabulary = [...BYTE_SYMBOLS].sort();
  const merges: [string, string][] = [];
  const counts = new Map<string, number>();
  const where = new Map<string, Set<number>>();
  words.forEach((word, index) => {
    countPairs(word, index, 1, counts, where);
  });
  while (vocabulary.length < options.size) {
    const best = mostFrequent(counts, options);
    if (!best) break;
    const [left, right] = best.split(" ") as [string, string];
    merges.push([left, right]);
    vocabulary.push(left + right);
    for (const index of [...where.get(best)!]) {
      const word = words[index]!;
      countPairs(word, index, -1, counts, where);
      word.symbols = joinPair(word.symbols, left, right);
      countPairs(word, index, 1, counts, where);
    }
  }
  return { vocabulary, merges };
}

function countWords(texts: Iterable<string>, pattern: RegExp): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [piece] of text.normalize("NFC").matchAll(pattern)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  }
  return [...counts].map(([piece, count]) => ({
    symbols: Array.from(Buffer.from(piece, "utf8"), (byte) => BYTE_SYMBOLS[byte]!),
    count,
  }));
}

function countPairs(
  word: Word,
  index: number,
  sign: 1 | -1,
  counts: Map<string, number>,
  where: Map<string, Set<number>>,
): void {
  for (let i = 0; i + 1 < word.symbols.length; i++) {
    const pair = `${word.symbols[i]} ${word.symbols[i + 1]}`;
    const count = (counts.get(pair) ?? 0) + sign * word.count;
    if (count > 0) counts.set(pair, count);
    else counts.delete(pair);
    let places = where.get(pair);
    if (!places) {
      places = new Set();
      where.set(pair, places);
    }
    if (sign > 0) places.add(index);
    else places.delete(index);
  }
}

function mostFrequent(counts: ReadonlyMap<string, number>, limits: BpeOptions): string | null {
  let best: string | null = null;
  let most = 1;
  for (const [pair, count] of counts) {
    // One symbol stands for one byte, and the space is not part of the token.
    const bytes = pair.length - 1;
    if (count < most || bytes > limits.maxTokenBytes) continue;
    if (bytes > limits.maxWideTokenBytes && WIDE.test(pair)) continue;
    if (count > most || best === null || pair < best) {
      best = pair;
      most = count;
    }
  }
  return best;
}

function joinPair(symbols: readonly string[], left: string, right: string): string[] {
  const joined: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      joined.push(left + right);
      i++;
    } else joined.push(symbols[i]!);
  }
  return joined;
}

/** First bytes of three-byte characters, from U+3000 on. */
const WIDE = /[\u00e3-\u00ef]/;

/** GPT-2's printable stand-in for every byte: itself where it is printable, else a letter from U+0100 on. */
const BYTE_SYMBOLS: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
})();
