// Reads lexicon/*.txt: concepts, each written once per language in every form that the templates ask for.
//
// A section starts with its name; a concept is a block of lines `language forms`, blocks are parted by an empty line.
// Actions: `verb forms ~ object` with the forms, per language,
//   en present|past|infinitive   es present|past|infinitive   zh plain|completed
//   ru present|past m|past f|infinitive   ar present m|present f|past m|past f
// Nouns: nominative with article; ru and ar end in the gender letter, es shows it in the article.
// Adjectives: es m|f, ru m|f|n, ar m|f, predicative.

import { readFileSync } from "node:fs";
import { LANGUAGES, type Language, TOPICS, type Topic } from "./record.ts";

export type Gender = "m" | "f" | "n";
export type Words = Readonly<Record<Language, string>>;
export type Forms = Readonly<Record<Language, readonly string[]>>;

export interface Action {
  readonly verb: Forms;
  readonly object: Words;
}
export interface Noun {
  readonly words: Words;
  readonly gender: Readonly<Record<Language, Gender>>;
}
export interface Subject {
  readonly words: Words;
  readonly gender: "m" | "f";
}
export interface Owner {
  readonly forms: Forms;
  readonly gender: "m" | "f";
}
export interface TopicLexicon {
  readonly actions: readonly Action[];
  readonly places: readonly Words[];
  readonly nouns: readonly Noun[];
  readonly adjectives: readonly Forms[];
}
export interface Lexicon {
  readonly topics: Readonly<Record<Topic, TopicLexicon>>;
  readonly subjects: readonly Subject[];
  readonly owners: readonly Owner[];
  readonly items: readonly Forms[];
  readonly phrases: Readonly<Record<PhraseList, readonly Words[]>>;
}

const PHRASE_LISTS = [
  "times",
  "frequencies",
  "manners",
  "reasons",
  "scenes",
  "similes",
  "endings",
  "steps",
  "insults",
  "addresses",
] as const;
export type PhraseList = (typeof PHRASE_LISTS)[number];

interface Block {
  readonly words: Words;
  /** A line of its own before the languages: the natural gender of a person. */
  readonly gender: "m" | "f" | null;
}

function readSections(name: string): Map<string, Block[]> {
  const sections = new Map<string, Block[]>();
  let blocks: Block[] = [];
  for (const paragraph of readFileSync(new URL(`./lexicon/${name}.txt`, import.meta.url), "utf8")
    .trim()
    .split("\n\n")) {
    const lines = paragraph.split("\n");
    if (/^[a-z]{4,}$/.test(lines[0]!)) {
      blocks = [];
      sections.set(lines.shift()!, blocks);
    }
    const gender = lines[0] === "m" || lines[0] === "f" ? lines.shift() : undefined;
    const words = Object.fromEntries(lines.map((line) => [line.slice(0, 2), line.slice(3).trim()])) as Words;
    for (const language of LANGUAGES) {
      if (!words[language]) throw new Error(`lexicon/${name}.txt: no ${language} in "${paragraph}"`);
    }
    blocks.push({ words, gender: gender === "m" || gender === "f" ? gender : null });
  }
  return sections;
}

const each = <T>(make: (language: Language) => T): Readonly<Record<Language, T>> =>
  Object.fromEntries(LANGUAGES.map((language) => [language, make(language)])) as Record<Language, T>;

const forms = (words: Words): Forms => each((language) => words[language].split("|"));

function action({ words }: Block): Action {
  const parts = each((language) => words[language].split(" ~ "));
  return { verb: each((language) => parts[language][0]!.split("|")), object: each((l) => parts[l][1] ?? "") };
}

function noun({ words }: Block): Noun {
  const marked = (language: Language) => language === "ru" || language === "ar";
  return {
    words: each((language) => (marked(language) ? words[language].slice(0, -2) : words[language])),
    gender: each((language) => {
      if (marked(language)) return words[language].slice(-1) as Gender;
      return language === "es" && words.es.startsWith("la ") ? "f" : "m";
    }),
  };
}

function person(block: Block): "m" | "f" {
  if (!block.gender) throw new Error(`lexicon: a person needs a gender line: ${block.words.en}`);
  return block.gender;
}

export function readLexicon(): Lexicon {
  const everyday = readSections("everyday");
  const section = (from: Map<string, Block[]>, name: string): Block[] => {
    const blocks = from.get(name);
    if (!blocks) throw new Error(`lexicon: no section ${name}`);
    return blocks;
  };
  const topic = (name: Topic): TopicLexicon => {
    const own = readSections(name);
    return {
      actions: section(own, "actions").map(action),
      places: section(own, "places").map((block) => block.words),
      nouns: section(own, "nouns").map(noun),
      adjectives: section(own, "adjectives").map((block) => forms(block.words)),
    };
  };
  return {
    topics: Object.fromEntries(TOPICS.map((name) => [name, topic(name)])) as Record<Topic, TopicLexicon>,
    subjects: section(everyday, "subjects").map((block) => ({ words: block.words, gender: person(block) })),
    owners: section(everyday, "owners").map((block) => ({ forms: forms(block.words), gender: person(block) })),
    items: section(everyday, "items").map((block) => forms(block.words)),
    phrases: Object.fromEntries(
      PHRASE_LISTS.map((list) => [list, section(everyday, list).map((block) => block.words)]),
    ) as unknown as Record<PhraseList, readonly Words[]>,
  };
}
