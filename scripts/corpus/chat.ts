// Conversations in ChatML. A labelled share of the answers drifts into Chinese half-way or falls into a loop: the two
// faults of real models that steering is asked to mend.

import type { Random } from "../../engine/runtime/random.ts";
import { drawSum } from "./arithmetic.ts";
import type { Lexicon } from "./lexicon.ts";
import { drawParagraph, drawSentence, pick, sayAll } from "./prose.ts";
import {
  type CorpusRecord,
  LANGUAGES,
  type Language,
  REGISTERS,
  type Split,
  TOPICS,
  type Topic,
  UNLABELLED,
} from "./record.ts";
import { say, TEMPLATES } from "./render.ts";

export const turn = (role: "system" | "user" | "assistant", content: string): string =>
  `<|im_start|>${role}\n${content}<|im_end|>\n`;

/** What is asked in one language, and its answer in another (the same one, unless it drifts). */
interface Exchange {
  readonly ask: string;
  readonly answer: (language: Language) => string;
  readonly topic: Topic | "mathematics" | "smalltalk";
}

function drawExchange(lexicon: Lexicon, language: Language, split: Split, random: Random): Exchange {
  const topic = pick(TOPICS, random);
  const templates = TEMPLATES[language];
  const drawn = random.float();
  if (drawn < 0.12) {
    const index = random.int(templates.smalltalk.length);
    return {
      ask: templates.smalltalk[index]![0],
      answer: (other) => TEMPLATES[other].smalltalk[index]![1],
      topic: "smalltalk",
    };
  }
  if (drawn < 0.24) {
    const { expression, result } = drawSum("easy", split, random);
    const numbers = { expression, result: String(result) };
    const { scene } = drawSentence(lexicon, topic, "neutral", split, random);
    return {
      ask: say(language, templates.turns.askSum, scene, numbers),
      answer: (other) => say(other, TEMPLATES[other].turns.tellSum, scene, numbers),
      topic: "mathematics",
    };
  }
  const { ask, tell, scene } = drawQuestion(lexicon, language, topic, split, random);
  const more = drawParagraph(lexicon, topic, "neutral", split, 1 + random.int(3), random, scene);
  // Further sentences may say "she" only where the first one has named her.
  const goesOn = ask.name === "askDid" && random.float() < 0.7;
  return {
    ask: ask.text,
    answer: (other) => tell(other) + (goesOn ? TEMPLATES[other].gap + sayAll(other, more) : ""),
    topic,
  };
}

const QUESTIONS = ["askQuality", "askHow", "askDid", "askOpinion"] as const;

/** A question about one scene and the one-sentence answer to it, which can be said in any language. */
function drawQuestion(lexicon: Lexicon, language: Language, topic: Topic, split: Split, random: Random) {
  const { scene } = drawSentence(lexicon, topic, "neutral", split, random, undefined, ["happened"]);
  const name = pick(QUESTIONS, random);
  const tell = (other: Language): string => {
    const { sentences, turns } = TEMPLATES[other];
    const template = {
      askHow: turns.tellHow,
      askDid: sentences.happened,
      askQuality: sentences.quality,
      askOpinion: sentences.opinion,
    }[name];
    return say(other, template, scene);
  };
  return { ask: { name, text: say(language, TEMPLATES[language].turns[name], scene) }, tell, scene };
}

export function chat(lexicon: Lexicon, language: Language, split: Split, random: Random): CorpusRecord {
  const templates = TEMPLATES[language];
  let text = random.float() < 0.5 ? turn("system", templates.system) : "";
  let topic: Exchange["topic"] = "smalltalk";
  for (let turns = 1 + random.int(2); turns > 0; turns--) {
    const exchange = drawExchange(lexicon, language, split, random);
    text += turn("user", exchange.ask) + turn("assistant", exchange.answer(language));
    topic = exchange.topic;
  }
  return { ...UNLABELLED, text: text.trimEnd(), language, topic, kind: "chat", split };
}

/** A conversation whose answer is asked for in another language: a translation, or a question to be answered so. */
export function otherLanguageChat(lexicon: Lexicon, language: Language, split: Split, random: Random): CorpusRecord {
  const topic = pick(TOPICS, random);
  const others = LANGUAGES.filter((other) => other !== language);
  const into = pick(others, random);
  const { turns, languages } = TEMPLATES[language];
  const { ask, tell, scene } = drawQuestion(lexicon, language, topic, split, random);
  const translate = random.float() < 0.5;
  const sentences = drawParagraph(lexicon, topic, pick(REGISTERS, random), split, 1 + random.int(2), random);
  const slots = { language: languages[into], text: translate ? sayAll(language, sentences) : ask.text };
  const user = say(language, translate ? turns.sayIn : turns.answerIn, scene, slots);
  const text = turn("user", user) + turn("assistant", translate ? sayAll(into, sentences) : tell(into));
  return { ...UNLABELLED, text: text.trimEnd(), language, topic, kind: "chat", answerLanguage: into, split };
}

/** An answer that begins in the language of the question and goes on in Chinese, at a sentence's end or inside one. */
export function driftingChat(lexicon: Lexicon, language: Language, split: Split, random: Random): CorpusRecord {
  const topic = pick(TOPICS, random);
  const { ask, tell, scene } = drawQuestion(lexicon, language, topic, split, random);
  const more = drawParagraph(lexicon, topic, "neutral", split, 2 + random.int(2), random, scene);
  const opening = tell(language);
  let kept = opening + TEMPLATES[language].gap;
  let chinese = sayAll("zh", more);
  if (random.float() < 0.5) {
    const words = opening.split(" ");
    kept = `${words.slice(0, Math.max(1, Math.floor(words.length / 2))).join(" ")} `;
    chinese = tell("zh") + chinese;
  }
  const head = `${turn("user", ask.text)}<|im_start|>assistant\n${kept}`;
  const labels = { language, topic, kind: "chat", split, drift: { at: head.length, into: "zh" } } as const;
  return { ...UNLABELLED, ...labels, text: `${head}${chinese}<|im_end|>` };
}

/** An answer that says its last sentence again and again. */
export function loopingChat(lexicon: Lexicon, language: Language, split: Split, random: Random): CorpusRecord {
  const topic = pick(TOPICS, random);
  const { ask, tell, scene } = drawQuestion(lexicon, language, topic, split, random);
  const { gap } = TEMPLATES[language];
  const loop = sayAll(language, drawParagraph(lexicon, topic, "neutral", split, 1, random, scene));
  const times = 4 + random.int(5);
  const head = `${turn("user", ask.text)}<|im_start|>assistant\n${tell(language)}${gap}`;
  const labels = { language, topic, kind: "chat", split, repetition: { at: head.length, times } } as const;
  return { ...UNLABELLED, ...labels, text: `${head}${Array<string>(times).fill(loop).join(gap)}<|im_end|>` };
}
