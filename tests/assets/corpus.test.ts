import { describe, expect, it } from "vitest";
import { createRandom } from "../../engine/runtime/random.ts";
import { counted } from "../../scripts/corpus/arithmetic.ts";
import { corpus } from "../../scripts/corpus/corpus.ts";
import { readLexicon } from "../../scripts/corpus/lexicon.ts";
import { prose } from "../../scripts/corpus/prose.ts";
import { type CorpusRecord, LANGUAGES, type Language, type Split } from "../../scripts/corpus/record.ts";
import { TEMPLATES } from "../../scripts/corpus/render.ts";
import { chineseShare, scriptShare } from "./scripts-of-text.ts";

const lexicon = readLexicon();

function draw(split: Split, count: number, seed: number | string = 1): CorpusRecord[] {
  const records = corpus(lexicon, split, createRandom(seed));
  return Array.from({ length: count }, () => records.next().value);
}

const records = draw("train", 4000);
const withoutMarkup = (text: string) => text.replace(/<\|im_start\|>\w+\n|<\|im_end\|>/g, " ");

describe("the corpus", () => {
  it("is the same text under the same seed and other text under another", () => {
    expect(draw("train", 200)).toEqual(records.slice(0, 200));
    expect(draw("train", 200, 2)).not.toEqual(records.slice(0, 200));
  });

  it("writes every language in its own script", () => {
    for (const record of records) {
      if (record.language === "und" || record.drift || record.answerLanguage) continue;
      const share = scriptShare(withoutMarkup(record.text), record.language);
      expect(share, `${record.language}: ${record.text}`).toBeGreaterThan(0.99);
    }
  });

  it("draws every language, kind, register and toxicity", () => {
    const seen = (of: (record: CorpusRecord) => unknown) => new Set(records.map(of));
    for (const language of [...LANGUAGES, "und"]) expect(seen((r) => r.language)).toContain(language);
    for (const kind of ["prose", "chat", "remark", "arithmetic", "word_problem", "code"]) {
      expect(seen((r) => r.kind)).toContain(kind);
    }
    expect(seen((r) => r.register).size).toBe(5);
    expect(seen((r) => r.toxicity).size).toBe(3);
    expect(seen((r) => r.topic).size).toBe(15);
  });

  it("leaves no slot, choice or double space of a template unfilled", () => {
    for (const { text, kind } of records) {
      if (kind === "code") continue;
      expect(withoutMarkup(text)).not.toMatch(/[{}[\]<>]|undefined| [,.!?]|\p{L} {2,}\p{L}/u);
    }
  });

  it("has right answers to all its sums and word problems", () => {
    let checked = 0;
    for (const { text } of records) {
      for (const [, a, first, b, second, c, result] of text.matchAll(
        /(\d+) ([-+*]) (\d+)(?: ([-+]) (\d+))? = (\d+)/g,
      )) {
        const apply = (x: number, operator: string, y: number) =>
          operator === "+" ? x + y : operator === "-" ? x - y : x * y;
        let value = apply(Number(a), first!, Number(b));
        if (second) value = apply(value, second, Number(c));
        expect(value, text).toBe(Number(result));
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(500);
  });

  it("marks where an answer drifts into Chinese: nothing Chinese before, Chinese after", () => {
    const drifting = records.filter((record) => record.drift);
    expect(drifting.length).toBeGreaterThan(100);
    for (const { text, drift, language } of drifting) {
      expect(language).not.toBe("zh");
      expect(chineseShare(withoutMarkup(text.slice(0, drift!.at)))).toBe(0);
      expect(chineseShare(withoutMarkup(text.slice(drift!.at)))).toBeGreaterThan(0.99);
    }
  });

  it("answers in another language exactly where it was asked to", () => {
    const asked = records.filter((record) => record.answerLanguage);
    expect(asked.length).toBeGreaterThan(100);
    for (const { text, language, answerLanguage } of asked) {
      const [question, answer] = text.split("<|im_start|>assistant\n");
      expect(question).toContain(TEMPLATES[language as Language].languages[answerLanguage!]);
      expect(scriptShare(withoutMarkup(question!), language as Language), question).toBeGreaterThan(0.99);
      expect(scriptShare(withoutMarkup(answer!), answerLanguage!), answer).toBeGreaterThan(0.99);
    }
  });

  it("marks where an answer falls into a loop, and the loop is there as often as it says", () => {
    const looping = records.filter((record) => record.repetition);
    expect(looping.length).toBeGreaterThan(50);
    for (const { text, repetition, language } of looping) {
      const loop = text.slice(repetition!.at).replace("<|im_end|>", "");
      const gap = language === "und" ? " " : TEMPLATES[language].gap;
      const length = (loop.length + gap.length) / repetition!.times - gap.length;
      expect(Array<string>(repetition!.times).fill(loop.slice(0, length)).join(gap)).toBe(loop);
    }
  });

  it("insults in what is labelled toxic and thanks in what is labelled polite, never the other way round", () => {
    const words = (list: "insults" | "addresses", language: Language) =>
      lexicon.phrases[list].map((phrase) => phrase[language]);
    const remarks = records.filter((record) => record.kind === "remark");
    for (const { text, language, toxicity } of remarks) {
      const says = (list: "insults" | "addresses") =>
        words(list, language as Language).some((word) => text.includes(word));
      expect(says("insults"), text).toBe(toxicity === "toxic");
      expect(says("addresses"), text).toBe(toxicity === "polite");
    }
  });

  it("holds out sentences that training never sees, in any language", () => {
    const sentences = (split: Split, count: number) => {
      const random = createRandom("split");
      const texts = Array.from({ length: count }, () => prose(lexicon, "en", split, random).text);
      // Cut before a capital; a sentence with "he" or "she" is many sentences of the grammar in one surface.
      const cut = texts.flatMap((text) => text.split(/(?<=[.!?]) (?=\p{Lu})/u));
      return new Set(cut.filter((sentence) => !/\b(he|she)\b/i.test(sentence) && !/^(Hey|Can you)/.test(sentence)));
    };
    const train = sentences("train", 2000);
    const heldOut = sentences("heldout", 150);
    expect(heldOut.size).toBeGreaterThan(100);
    expect([...heldOut].filter((sentence) => train.has(sentence))).toEqual([]);
  });

  it("closes every turn of a conversation that it opens", () => {
    for (const { text } of records.filter((record) => record.kind === "chat")) {
      expect(text.match(/<\|im_end\|>/g)!.length).toBe(text.match(/<\|im_start\|>(system|user|assistant)\n/g)!.length);
      expect(text.endsWith("<|im_end|>")).toBe(true);
    }
  });
});

describe("the grammars", () => {
  it("give Russian and Arabic numbers the form of the noun that they govern", () => {
    const apple = lexicon.items[0]!;
    expect([21, 3, 5, 11, 12].map((n) => counted("ru", n, apple))).toEqual([
      "21 яблоко",
      "3 яблока",
      "5 яблок",
      "11 яблок",
      "12 яблок",
    ]);
    expect([3, 10, 11, 25].map((n) => counted("ar", n, apple))).toEqual([
      "3 تفاحات",
      "10 تفاحات",
      "11 تفاحة",
      "25 تفاحة",
    ]);
  });

  it("have every form of every concept in every language", () => {
    const forms = { en: [3, 1], zh: [2, 1], es: [3, 2], ru: [4, 3], ar: [4, 2] } as const;
    for (const topic of Object.values(lexicon.topics)) {
      for (const language of LANGUAGES) {
        const [verbForms, adjectiveForms] = forms[language];
        for (const { verb } of topic.actions) expect(verb[language], verb.en.join()).toHaveLength(verbForms);
        for (const adjective of topic.adjectives) expect(adjective[language]).toHaveLength(adjectiveForms);
      }
      for (const { words, gender } of topic.nouns) {
        expect(words.es).toMatch(/^(el|la) /);
        expect(gender.ru).toMatch(/^[mfn]$/);
        expect(gender.ar).toMatch(/^[mf]$/);
      }
    }
  });

  it("contract Spanish articles and soften its y before an i", () => {
    const spanish = records.filter((record) => record.language === "es").map((record) => record.text);
    expect(spanish.filter((text) => / (de|a) el | y i/.test(text))).toEqual([]);
  });

  it("agree in gender: feminine Russian subjects take feminine verbs", () => {
    const [m, f] = [/(Мой отец|Иван|Том|Студент) [а-яё]+л(ся)? /, /(Моя мама|Анна|Лейла|Старушка) [а-яё]+ла(сь)? /];
    const wrong = /(Моя мама|Анна|Лейла|Старушка|Она) [а-яё]+(ил|ал|ел|ул|ыл)(ся)? /;
    const russian = records
      .filter((record) => record.language === "ru" && !record.answerLanguage)
      .map((record) => record.text);
    expect(russian.filter((text) => m.test(text)).length).toBeGreaterThan(5);
    expect(russian.filter((text) => f.test(text)).length).toBeGreaterThan(5);
    expect(russian.filter((text) => wrong.test(text))).toEqual([]);
  });
});
