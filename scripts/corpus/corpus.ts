// The whole mixture, as an endless deterministic stream of labelled records.

import type { Random } from "../../engine/runtime/random.ts";
import { arithmetic, wordProblem } from "./arithmetic.ts";
import { chat, driftingChat, loopingChat, otherLanguageChat } from "./chat.ts";
import { code } from "./code.ts";
import type { Lexicon } from "./lexicon.ts";
import { driftingProse, prose, remark } from "./prose.ts";
import type { CorpusRecord, Language, Split } from "./record.ts";

/** Shares of documents; what is left is code. What drifts into Chinese is never Chinese to begin with. */
interface Mixture {
  readonly prose: number;
  readonly driftingProse: number;
  readonly chat: number;
  readonly otherLanguage: number;
  readonly driftingChat: number;
  readonly loop: number;
  readonly remark: number;
  readonly wordProblem: number;
  readonly arithmetic: number;
}

export const MIXTURES = {
  /** One language a text, but for a few drifting answers: how a model learns to write. */
  single: {
    prose: 0.5,
    driftingProse: 0,
    chat: 0.18,
    otherLanguage: 0,
    driftingChat: 0.05,
    loop: 0.02,
    remark: 0.1,
    wordProblem: 0.06,
    arithmetic: 0.04,
  },
  /** Texts that change their language in the middle or on request: how it learns that what is said and in which language are two things. */
  mixed: {
    prose: 0.38,
    driftingProse: 0.09,
    chat: 0.13,
    otherLanguage: 0.12,
    driftingChat: 0.05,
    loop: 0.02,
    remark: 0.08,
    wordProblem: 0.05,
    arithmetic: 0.04,
  },
} as const satisfies Record<string, Mixture>;
export type MixtureName = keyof typeof MIXTURES;

/** English and Chinese are the two that the demonstration steers between. */
const LANGUAGE_SHARES: readonly (readonly [Language, number])[] = [
  ["en", 0.25],
  ["zh", 0.24],
  ["es", 0.17],
  ["ru", 0.17],
  ["ar", 0.17],
];

export function drawRecord(
  lexicon: Lexicon,
  split: Split,
  random: Random,
  mixture: MixtureName = "mixed",
): CorpusRecord {
  const shares: Mixture = MIXTURES[mixture];
  const language = drawLanguage(random);
  const foreign = language === "zh" ? "en" : language;
  let drawn = random.float();
  const falls = (share: number): boolean => {
    drawn -= share;
    return drawn < 0;
  };
  if (falls(shares.prose)) return prose(lexicon, language, split, random);
  if (falls(shares.driftingProse)) return driftingProse(lexicon, foreign, split, random);
  if (falls(shares.chat)) return chat(lexicon, language, split, random);
  if (falls(shares.otherLanguage)) return otherLanguageChat(lexicon, language, split, random);
  if (falls(shares.driftingChat)) return driftingChat(lexicon, foreign, split, random);
  if (falls(shares.loop)) return loopingChat(lexicon, language, split, random);
  if (falls(shares.remark)) return remark(lexicon, language, split, random);
  if (falls(shares.wordProblem)) return wordProblem(lexicon, language, split, random);
  if (falls(shares.arithmetic)) return arithmetic(split, random);
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

export function* corpus(
  lexicon: Lexicon,
  split: Split,
  random: Random,
  mixture: MixtureName = "mixed",
): Generator<CorpusRecord, never> {
  for (;;) yield drawRecord(lexicon, split, random, mixture);
}
