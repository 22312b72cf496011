// Running text: a few sentences on one topic, in one register, about one person.

import type { Random } from "../../engine/runtime/random.ts";
import type { Lexicon } from "./lexicon.ts";
import {
  type CorpusRecord,
  type Language,
  REGISTERS,
  type Register,
  type Split,
  splitOf,
  TOPICS,
  type Topic,
  UNLABELLED,
} from "./record.ts";
import { drawScene, type Scene, say, TEMPLATES } from "./render.ts";
import { POLITE, type RemarkName, SENTENCES, type SentenceName, TOXIC } from "./templates/template-set.ts";

/** A sentence before it is said: the same in every language. */
export interface Sentence {
  readonly name: SentenceName;
  readonly scene: Scene;
}

export const pick = <T>(list: readonly T[], random: Random): T => list[random.int(list.length)]!;

/** Draws until the fillings belong to the split. */
export function drawSentence(
  lexicon: Lexicon,
  topic: Topic,
  register: Register,
  split: Split,
  random: Random,
  keep?: Scene,
  names: readonly SentenceName[] = SENTENCES[register],
): Sentence {
  for (let tries = 0; ; tries++) {
    // Short patterns have few fillings: of some topics none may be on this side of the split.
    const name = pick(tries < 50 ? names : SENTENCES[register], random);
    const scene = drawScene(lexicon, topic, random, keep);
    const sentence = { name, scene };
    if (splitOf(`${name}/${visible(name, scene)}`) === split) return sentence;
  }
}

/**
 * What a reader of the sentence would see of its scene, in English: two scenes that differ only in what the template
 * does not show are one sentence, and must fall on the same side of the split.
 */
function visible(name: SentenceName | RemarkName, scene: Scene): string {
  const templates: Readonly<Record<string, string>> = { ...TEMPLATES.en.sentences, ...TEMPLATES.en.remarks };
  return say("en", templates[name]!, { ...scene, known: false });
}

export function sayAll(language: Language, sentences: readonly Sentence[]): string {
  const templates = TEMPLATES[language];
  return sentences.map(({ name, scene }) => say(language, templates.sentences[name], scene)).join(templates.gap);
}

export function drawParagraph(
  lexicon: Lexicon,
  topic: Topic,
  register: Register,
  split: Split,
  length: number,
  random: Random,
  about?: Scene,
): Sentence[] {
  const sentences: Sentence[] = [];
  let unused: SentenceName[] = [];
  let keep = about;
  for (let i = 0; i < length; i++) {
    // No pattern twice before every pattern once.
    if (unused.length === 0) unused = [...SENTENCES[register]];
    const sentence = drawSentence(lexicon, topic, register, split, random, keep, unused);
    unused = unused.filter((name) => name !== sentence.name);
    sentences.push(sentence);
    // Only a person who has been named can be "she"; some sentences name nobody, some paragraphs change the person.
    const names = TEMPLATES.en.sentences[sentence.name].includes("{subject}");
    if (names) keep = random.float() < 0.6 ? sentence.scene : undefined;
  }
  return sentences;
}

export function prose(lexicon: Lexicon, language: Language, split: Split, random: Random): CorpusRecord {
  const topic = pick(TOPICS, random);
  const register = pick(REGISTERS, random);
  const sentences = drawParagraph(lexicon, topic, register, split, 2 + random.int(4), random);
  return { ...UNLABELLED, text: sayAll(language, sentences), language, topic, register, kind: "prose", split };
}

/** Prose that goes on in Chinese, after a sentence or inside one, which is then begun again. */
export function driftingProse(lexicon: Lexicon, language: Language, split: Split, random: Random): CorpusRecord {
  const topic = pick(TOPICS, random);
  const register = pick(REGISTERS, random);
  const sentences = drawParagraph(lexicon, topic, register, split, 3 + random.int(2), random);
  const whole = 1 + random.int(2);
  const words = sayAll(language, sentences.slice(whole - 1, whole)).split(" ");
  const inside = random.float() < 0.5;
  const kept = inside
    ? [
        ...sentences.slice(0, whole - 1).map((one) => sayAll(language, [one])),
        ...words.slice(0, 1 + random.int(words.length - 1)),
      ]
    : sentences.slice(0, whole).map((one) => sayAll(language, [one]));
  const head = `${kept.join(" ")} `;
  const text = head + sayAll("zh", sentences.slice(inside ? whole - 1 : whole));
  const drift = { at: head.length, into: "zh" } as const;
  return { ...UNLABELLED, text, language, topic, register, kind: "prose", drift, split };
}

const SHORT: ReadonlySet<RemarkName> = new Set(["toxicSilence", "toxicNobody", "politeThanks", "politeRespect"]);

/** One or two sentences that thank or insult somebody, with the topic's own words in them. */
export function remark(
  lexicon: Lexicon,
  language: Language,
  split: Split,
  random: Random,
  toxicity: "polite" | "toxic" = random.float() < 0.5 ? "polite" : "toxic",
): CorpusRecord {
  const topic = pick(TOPICS, random);
  const templates = TEMPLATES[language];
  const names = random
    .shuffle<RemarkName[]>(toxicity === "toxic" ? [...TOXIC] : [...POLITE])
    .slice(0, 1 + random.int(2));
  const parts = names.map((name) => {
    for (let tries = 0; ; tries++) {
      const scene = drawScene(lexicon, tries < 50 ? topic : pick(TOPICS, random), random);
      // The shortest remarks have too few fillings to hold any out without losing a word altogether.
      if (SHORT.has(name) || splitOf(`${name}/${visible(name, scene)}`) === split) {
        return say(language, templates.remarks[name], scene);
      }
    }
  });
  return {
    ...UNLABELLED,
    text: parts.join(templates.gap),
    language,
    topic,
    register: "casual",
    kind: "remark",
    toxicity,
    split,
  };
}
