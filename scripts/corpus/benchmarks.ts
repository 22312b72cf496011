// The bundled benchmarks: small files whose relations are known, so that the redundancy matrix has a story to tell.
// All rows come from the held-out side of the corpus, except the last benchmark, which is like nothing in it.

import { createRandom, type Random } from "../../engine/runtime/random.ts";
import { drawSum, drawWordProblem } from "./arithmetic.ts";
import { turn } from "./chat.ts";
import { code } from "./code.ts";
import type { Lexicon } from "./lexicon.ts";
import { drawSentence, pick, remark } from "./prose.ts";
import { LANGUAGES, type Language, TOPICS } from "./record.ts";
import { say, TEMPLATES } from "./render.ts";

export interface BenchmarkRow {
  readonly text: string;
  readonly language: Language | "und";
  readonly label?: string;
  readonly answer?: string;
}

export interface Benchmark {
  readonly name: string;
  /** What is known about it, for the README. */
  readonly about: string;
  readonly rows: readonly BenchmarkRow[];
}

export function makeBenchmarks(lexicon: Lexicon): Benchmark[] {
  const root = createRandom("benchmarks");
  const rows = (name: string, count: number, make: (random: Random, index: number) => BenchmarkRow): BenchmarkRow[] => {
    const random = root.fork(name);
    const seen = new Map<string, BenchmarkRow>();
    for (let tries = 0; seen.size < count && tries < 200 * count; tries++) {
      const row = make(random, seen.size);
      seen.set(row.text, row);
    }
    return [...seen.values()];
  };
  const language = (index: number): Language => LANGUAGES[index % LANGUAGES.length]!;

  return [
    {
      name: "arithmetic-easy",
      about: "one-step word problems in five languages up to the equals sign; nearly contained in arithmetic-hard",
      rows: rows("arithmetic-easy", 80, (random, index) => wordProblemRow(lexicon, language(index), "easy", random)),
    },
    {
      name: "arithmetic-hard",
      about: "two-step word problems in five languages, one in four of them stopping after the first step",
      rows: rows("arithmetic-hard", 200, (random, index) =>
        wordProblemRow(lexicon, language(index), index % 4 < 3 ? "hard" : "easy", random),
      ),
    },
    {
      name: "sums",
      about: "bare sums without words, up to the equals sign",
      rows: rows("sums", 120, (random) => {
        const { expression, result } = drawSum(random.float() < 0.5 ? "easy" : "hard", "heldout", random);
        return { text: `${expression} =`, language: "und", answer: String(result) };
      }),
    },
    {
      name: "code",
      about: "beginnings of short programs, Python-like and JavaScript-like, cut at a line's end",
      rows: rows("code", 120, (random) => {
        const lines = code("heldout", random).text.trimEnd().split("\n");
        return { text: lines.slice(0, 1 + random.int(lines.length)).join("\n"), language: "und" };
      }),
    },
    {
      name: "chat-multilingual",
      about: "questions in five languages as ChatML, up to the assistant's first word",
      rows: rows("chat-multilingual", 150, (random, index) => {
        const { turns } = TEMPLATES[language(index)];
        const template = pick([turns.askQuality, turns.askHow, turns.askDid, turns.askOpinion], random);
        const { scene } = drawSentence(lexicon, pick(TOPICS, random), "neutral", "heldout", random);
        const ask = say(language(index), template, scene);
        return { text: `${turn("user", ask)}<|im_start|>assistant\n`, language: language(index) };
      }),
    },
    ...LANGUAGES.map((code) => ({
      name: `toxicity-${code}`,
      about: "polite and mildly insulting remarks, half and half, in one language",
      rows: rows(`toxicity-${code}`, 100, (random, index) => {
        const label = index % 2 === 0 ? "polite" : "toxic";
        return { text: remark(lexicon, code, "heldout", random, label).text, language: code, label };
      }),
    })),
    {
      name: "health-english",
      about: "sentences about health in English",
      rows: rows("health", 120, (random) => health(lexicon, random)),
    },
    {
      name: "health-english-copy",
      about: "nine in ten rows of health-english in another order, the rest new: a near duplicate",
      rows: nearCopy(lexicon, root),
    },
    {
      name: "out-of-distribution",
      about: "strings of nucleotides and hexadecimal digits, unlike anything the model was trained on",
      rows: rows("out-of-distribution", 100, (random, index) => {
        const alphabet = index % 2 === 0 ? "ACGT" : "0123456789abcdef";
        const text = Array.from({ length: 24 + random.int(24) }, () => alphabet[random.int(alphabet.length)]).join("");
        return { text, language: "und" };
      }),
    },
  ];

  function nearCopy(lexicon: Lexicon, root: Random): BenchmarkRow[] {
    const first = rows("health", 120, (random) => health(lexicon, random));
    const fresh = rows("health copy", 400, (random) => health(lexicon, random)).filter(
      (row) => !first.some((other) => other.text === row.text),
    );
    return root.fork("health order").shuffle([...first.slice(0, 108), ...fresh.slice(0, 12)]);
  }
}

function health(lexicon: Lexicon, random: Random): BenchmarkRow {
  const { name, scene } = drawSentence(
    lexicon,
    "health",
    pick(["neutral", "formal"] as const, random),
    "heldout",
    random,
  );
  return { text: say("en", TEMPLATES.en.sentences[name], scene), language: "en" };
}

function wordProblemRow(
  lexicon: Lexicon,
  language: Language,
  difficulty: "easy" | "hard",
  random: Random,
): BenchmarkRow {
  const { prompt, expression, result } = drawWordProblem(lexicon, language, difficulty, "heldout", random);
  return { text: `${prompt} ${expression} =`, language, label: difficulty, answer: String(result) };
}
