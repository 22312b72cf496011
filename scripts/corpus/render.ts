// Templates to text: puts the concepts of one scene into a language's template, inflected for subject and noun.

import type { Random } from "../../engine/runtime/random.ts";
import type { Action, Forms, Lexicon, Noun, PhraseList, Subject, Words } from "./lexicon.ts";
import type { Language, Topic } from "./record.ts";
import { arabic } from "./templates/arabic.ts";
import { chinese } from "./templates/chinese.ts";
import { english } from "./templates/english.ts";
import { russian } from "./templates/russian.ts";
import { spanish } from "./templates/spanish.ts";
import type { TemplateSet } from "./templates/template-set.ts";

export const TEMPLATES: Readonly<Record<Language, TemplateSet>> = {
  en: english,
  zh: chinese,
  es: spanish,
  ru: russian,
  ar: arabic,
};

/** Everything one sentence may ask for, independent of the language it will be said in. */
export interface Scene {
  readonly subject: Subject;
  /** The subject was named before: say "he" or "she". */
  readonly known: boolean;
  readonly action: Action;
  readonly place: Words;
  readonly noun: Noun;
  readonly adjective: Forms;
  readonly adjective2: Forms;
  readonly phrases: Readonly<Record<PhraseList, Words>>;
  readonly steps: readonly [Words, Words, Words];
  /** The choices as numbers, for the held-out split. */
  readonly choices: string;
}

export function drawScene(lexicon: Lexicon, topic: Topic, random: Random, keep?: Scene): Scene {
  const words = lexicon.topics[topic];
  const drawn: number[] = [];
  const pick = <T>(list: readonly T[]): T => {
    const index = random.int(list.length);
    drawn.push(index);
    return list[index]!;
  };
  const first = random.int(words.adjectives.length);
  const second = (first + 1 + random.int(words.adjectives.length - 1)) % words.adjectives.length;
  const steps = random.shuffle(lexicon.phrases.steps.map((_, index) => index));
  const step = (position: number): Words => lexicon.phrases.steps[steps[position]!]!;
  const subject = keep?.subject ?? pick(lexicon.subjects);
  const scene = {
    subject,
    known: keep !== undefined,
    action: pick(words.actions),
    place: pick(words.places),
    noun: pick(words.nouns),
    adjective: words.adjectives[first]!,
    adjective2: words.adjectives[second]!,
    phrases: Object.fromEntries(
      Object.entries(lexicon.phrases).map(([name, list]) => [name, pick(list)]),
    ) as unknown as Record<PhraseList, Words>,
    steps: [step(0), step(1), step(2)] as const,
  };
  return { ...scene, choices: [topic, lexicon.subjects.indexOf(subject), first, second, ...drawn].join(".") };
}

/** One template said in one language about one scene. `extra` adds slots such as numbers. */
export function say(
  language: Language,
  template: string,
  scene: Scene,
  extra: Readonly<Record<string, string>> = {},
): string {
  const male = scene.subject.gender === "m";
  const nounGender = scene.noun.gender[language];
  const text = template
    .replace(/\{(\w+)\}/g, (_, name: string) => extra[name] ?? slot(language, name, scene))
    .replace(/\[([^|\]]*)\|([^\]]*)\]/g, (_, m: string, f: string) => (male ? m : f))
    .replace(/<([^|>]*)\|([^|>]*)(?:\|([^>]*))?>/g, (_, m: string, f: string, n?: string) =>
      nounGender === "m" ? m : nounGender === "f" ? f : (n ?? m),
    );
  return finish(language, text);
}

function slot(language: Language, name: string, scene: Scene): string {
  const phrase = (list: PhraseList): string => scene.phrases[list][language];
  const named = scene.subject.words[language];
  const male = scene.subject.gender === "m";
  const pronoun = TEMPLATES[language].pronoun[male ? "m" : "f"];
  const object = scene.action.object[language];
  const join = (...parts: string[]): string => parts.filter(Boolean).join(language === "zh" ? "" : " ");
  const done = join(verb(language, "past", male, scene.action), object);
  switch (name) {
    case "subject":
      return scene.known ? pronoun : named;
    case "who":
      return scene.known ? "" : named;
    case "past":
      return done;
    case "present":
      return join(verb(language, "present", male, scene.action), object);
    case "infinitive":
      return join(verb(language, "infinitive", male, scene.action), object);
    case "anyone":
      return join(verb(language, "present", true, scene.action), object);
    case "happening":
      return join(verb(language, "past", male, scene.action), scene.known ? "" : named, object);
    case "happens":
      return join(verb(language, "present", male, scene.action), scene.known ? "" : named, object);
    case "place":
      return scene.place[language];
    case "noun":
      return scene.noun.words[language];
    case "adjective":
      return agree(language, scene.adjective, scene.noun);
    case "adjective2":
      return agree(language, scene.adjective2, scene.noun);
    case "time":
      return phrase("times");
    case "frequency":
      return phrase("frequencies");
    case "manner":
      return phrase("manners");
    case "reason":
      return phrase("reasons");
    case "scene":
      return phrase("scenes");
    case "simile":
      return phrase("similes");
    case "ending":
      return phrase("endings");
    case "insult":
      return phrase("insults");
    case "address":
      return phrase("addresses");
    case "step":
      return scene.steps[0][language];
    case "step2":
      return scene.steps[1][language];
    case "step3":
      return scene.steps[2][language];
    default:
      throw new Error(`template slot {${name}} is unknown (${language})`);
  }
}

function verb(language: Language, tense: "present" | "past" | "infinitive", male: boolean, action: Action): string {
  const forms = action.verb[language];
  const gendered = male ? 0 : 1;
  switch (language) {
    case "zh":
      return forms[tense === "past" ? 1 : 0]!;
    case "ru":
      return forms[tense === "present" ? 0 : tense === "past" ? 1 + gendered : 3]!;
    case "ar":
      return forms[(tense === "past" ? 2 : 0) + gendered]!;
    default:
      return forms[tense === "present" ? 0 : tense === "past" ? 1 : 2]!;
  }
}

function agree(language: Language, adjective: Forms, noun: Noun): string {
  const forms = adjective[language];
  const gender = noun.gender[language];
  return forms[gender === "m" || forms.length === 1 ? 0 : gender === "f" ? 1 : 2] ?? forms[0]!;
}

/** Spaces, contractions and capitals, as each language writes them. */
export function finish(language: Language, text: string): string {
  if (language === "zh") return text;
  let written = text
    .replace(/ {2,}/g, " ")
    .replace(/ ([.,!?])/g, "$1")
    .trim();
  if (language === "es") {
    // "y" before the sound i is "e"; de + el is "del", a + el is "al".
    written = written.replace(/ y (?=h?i[^ae])/g, " e ").replace(/\b(de|a) el /g, (_, word: string) => `${word}l `);
  }
  return written.replace(/(^|[.!?] )([¡¿"]*)(\p{Ll})/gu, (_, before: string, mark: string, letter: string) => {
    return before + mark + letter.toUpperCase();
  });
}
