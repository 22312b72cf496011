// What can be said of a text without a model: its script, how much of it repeats.

/**
 * Share of the letters (Unicode category L) that belong to a script, in [0, 1]; null for a text without letters.
 *
 * @throws SyntaxError for a script that Unicode does not know
 */
export function scriptShare(text: string, script: string): number | null {
  const ofScript = new RegExp(`\\p{Script=${script}}`, "u");
  let letters = 0;
  let matching = 0;
  for (const [letter] of text.matchAll(/\p{L}/gu)) {
    letters += 1;
    if (ofScript.test(letter)) matching += 1;
  }
  return letters === 0 ? null : matching / letters;
}

/**
 * distinct-n of Li et al. 2016: different n-grams of tokens per n-gram, in (0, 1]; 1 for a text that has none, in which
 * nothing repeats.
 */
export function distinctShare(ids: ArrayLike<number>, n: number): number {
  const count = ids.length - n + 1;
  if (count <= 0) return 1;
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) seen.add(Array.from({ length: n }, (_, k) => ids[i + k]).join(" "));
  return seen.size / count;
}

/** Loops of more tokens than this are not looked for: the search costs length × period. */
const LONGEST_PERIOD = 256;

/**
 * Tokens of the longest stretch that repeats what stands right before it, at least once as a whole: max over periods p of the
 * longest run with ids[i] = ids[i − p], runs shorter than p left out. "a b a b a" has 3, "a b c" 0.
 */
export function longestRepetition(ids: ArrayLike<number>): number {
  let longest = 0;
  for (let period = 1; period <= Math.min(LONGEST_PERIOD, ids.length >> 1); period++) {
    let run = 0;
    for (let i = period; i < ids.length; i++) {
      run = ids[i] === ids[i - period] ? run + 1 : 0;
      if (run >= period && run > longest) longest = run;
    }
  }
  return longest;
}
