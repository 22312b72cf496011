// The whole mixture, as an endless deterministic stream of labelled records.

import type { Random } from "../../engine/runtime/random.ts";
import { arithmetic, wordProblem } from "./arithmetic.ts";
import { chat, driftingChat, loopingChat } from "./chat.ts";
import { code } from "./code.ts";
import type { Lexicon } from "./lexicon.ts";
import { prose, remark } from "./prose.ts";
import type { CorpusRecord, Language, Split } from "./record.ts";

/** Shares of documents. Drifting answers are never Chinese to begin with. */
const MIXTURE = { prose: 0.5, chat: 0.18, drift: 0.05, loop: 0.02, remark: 0.1, wordProblem: 0.06, arithmetic: 0.04 };
/** What is left, 5 %, is code. English and Chinese are the two that the demonstration steers between. */
const LANGUAGE_SHARES: readonly (readonly [Language, number])[] = [
  ["en", 0.25],
  ["zh", 0.24],
  ["es", 0.17],
  ["ru", 0.17],
  ["ar", 0.17],
];

export function drawRecord(lexicon: Lexicon, split: Split, random: Random): CorpusRecord {
  const language = drawLanguage(random);
  let drawn = random.float();
  const falls = (share: number): boolean => {
    drawn -= share;
    return drawn < 0;
  };
  if (falls(MIXTURE.prose)) return prose(lexicon, language, split, random);
  if (falls(MIXTURE.chat)) return chat(lexicon, language, split, random);
  if (falls(MIXTURE.drift)) return driftingChat(lexicon, language === "zh" ? "en" : language, split, random);
  if (falls(MIXTURE.loop)) return loopingChat(lexicon, language, split, random);
  if (falls(MIXTURE.remark)) return remark(lexicon, language, split, random);
  if (falls(MIXTURE.wordProblem)) return wordProblem(lexicon, language, split, random);
  if (falls(MIXTURE.arithmetic)) return arithmetic(split, random);
  return code(split, random);
}

function drawLanguage(random: Random): Language {
  let drawn = random.float();
  for (const [language, share] of LANGUAGE_SHARES) {
    drawn -= share;
    if (drawn < 0) return language;
  }
  return "en";
}

export function* corpus(lexicon: Lexicon, split: Split, random: Random): Generator<CorpusRecord, never> {
  for (;;) yield drawRecord(lexicon, split, random);
}
