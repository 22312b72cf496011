// Sums and word problems at two difficulties, in every language, with numbers that agree with what they count.

import type { Random } from "../../engine/runtime/random.ts";
import type { Forms, Lexicon, Owner } from "./lexicon.ts";
import { pick } from "./prose.ts";
import { type CorpusRecord, type Difficulty, type Language, type Split, splitOf, UNLABELLED } from "./record.ts";
import { finish, TEMPLATES } from "./render.ts";

/** A chain of steps from left to right; `expression` evaluates to `result` under the usual precedence as well. */
export interface Sum {
  readonly expression: string;
  readonly result: number;
}

/** a ± b with results up to 20 (easy), a ± b ± c or a × b ± c with results up to 99 (hard); nothing below 3. */
export function drawSum(
  difficulty: Difficulty,
  split: Split,
  random: Random,
): Sum & { shape: Shape; numbers: number[] } {
  for (;;) {
    const shape = pick<Shape>(difficulty === "easy" ? ["add", "take"] : ["addTake", "boxes"], random);
    const small = (): number => 3 + random.int(difficulty === "easy" ? 10 : 30);
    const a = shape === "boxes" ? 3 + random.int(7) : small();
    const b = shape === "boxes" ? 3 + random.int(7) : small();
    const c = shape === "add" || shape === "take" ? 0 : small();
    const { expression, result } = compute(shape, a, b, c);
    const most = difficulty === "easy" ? 20 : 99;
    if (result >= 3 && result <= most && splitOf(expression) === split) {
      return { expression, result, shape, numbers: [a, b, c] };
    }
  }
}

type Shape = "add" | "take" | "addTake" | "boxes";

function compute(shape: Shape, a: number, b: number, c: number): Sum {
  switch (shape) {
    case "add":
      return { expression: `${a} + ${b}`, result: a + b };
    case "take":
      return { expression: `${a} - ${b}`, result: a - b };
    case "addTake":
      return { expression: `${a} + ${b} - ${c}`, result: a + b - c };
    case "boxes":
      return { expression: `${a} * ${b} - ${c}`, result: a * b - c };
  }
}

/** A number with the thing it counts, in the case or number that the language asks for after it. n ≥ 3. */
export function counted(language: Language, n: number, item: Forms): string {
  const forms = item[language];
  switch (language) {
    case "zh":
      return `${n}${forms[0]}`;
    case "ru": {
      const last = n % 10;
      const teens = n % 100 >= 11 && n % 100 <= 14;
      return `${n} ${teens || last === 0 || last >= 5 ? forms[2] : last === 1 ? forms[0] : forms[1]}`;
    }
    case "ar":
      // 3–10 take the plural, 11–99 the accusative singular.
      return `${n} ${n % 100 >= 3 && n % 100 <= 10 ? forms[1] : forms[2]}`;
    default:
      return `${n} ${forms[1]}`;
  }
}

export interface WordProblem extends Sum {
  /** The story and the question, up to and including "Answer:". */
  readonly prompt: string;
  readonly answer: string;
}

export function drawWordProblem(
  lexicon: Lexicon,
  language: Language,
  difficulty: Difficulty,
  split: Split,
  random: Random,
): WordProblem {
  const sum = drawSum(difficulty, split, random);
  const owner = pick(lexicon.owners, random);
  const item = pick(lexicon.items, random);
  const { problem, gap } = TEMPLATES[language];
  const [a, b, c] = sum.numbers as [number, number, number];
  const story = sum.shape === "boxes" ? [problem.boxes, problem.takes] : [problem.has];
  if (sum.shape === "add" || sum.shape === "addTake") story.push(problem.buys);
  if (sum.shape === "take" || sum.shape === "addTake") story.push(problem.gives);
  const ask = sum.shape === "boxes" ? problem.howManyLeft : problem.howMany;
  const slots: Record<string, string> = {
    a: sum.shape === "boxes" ? String(a) : counted(language, a, item),
    b: counted(language, b, item),
    c: counted(language, sum.shape === "take" ? b : c, item),
    ...ownerSlots(language, owner),
    items: plural(language, item),
    item: item[language][2] ?? "",
    Cuántos: item.es[2] === "f" ? "Cuántas" : "Cuántos",
  };
  const fill = (template: string): string =>
    finish(
      language,
      template
        // Alternatives by gender are resolved by hand: the owner here is not a scene's subject.
        .replace(/\[([^|\]]*)\|([^\]]*)\]/g, (_, m: string, f: string) => (owner.gender === "m" ? m : f))
        .replace(/\{([\p{L}]+)\}/gu, (_, name: string) => slots[name] ?? missing(name)),
    );
  const space = gap === "" ? "" : " ";
  const text = [...story, ask].map(fill).join(gap);
  return {
    expression: sum.expression,
    result: sum.result,
    prompt: `${problem.question}${space}${text}\n${problem.answer}`,
    answer: ` ${sum.expression} = ${sum.result}`,
  };
}

function ownerSlots(language: Language, owner: Owner): Record<string, string> {
  const forms = owner.forms[language];
  return { owner: forms[0]!, ownerOf: forms[1] ?? forms[0]! };
}

function plural(language: Language, item: Forms): string {
  return (language === "ru" ? item.ru[2] : item[language][1])!;
}

function missing(name: string): never {
  throw new Error(`word problem: slot {${name}} is unknown`);
}

export function wordProblem(lexicon: Lexicon, language: Language, split: Split, random: Random): CorpusRecord {
  const difficulty: Difficulty = random.float() < 0.5 ? "easy" : "hard";
  const { prompt, answer } = drawWordProblem(lexicon, language, difficulty, split, random);
  const labels = { language, topic: "mathematics", kind: "word_problem", difficulty, split } as const;
  return { ...UNLABELLED, ...labels, text: `${prompt}${answer}` };
}

/** Several bare sums, one a line. */
export function arithmetic(split: Split, random: Random): CorpusRecord {
  const difficulty: Difficulty = random.float() < 0.6 ? "easy" : "hard";
  const lines = Array.from({ length: 3 + random.int(5) }, () => {
    const { expression, result } = drawSum(difficulty, split, random);
    return `${expression} = ${result}`;
  });
  const labels = { language: "und", topic: "mathematics", kind: "arithmetic", difficulty, split } as const;
  return { ...UNLABELLED, ...labels, text: lines.join("\n") };
}
