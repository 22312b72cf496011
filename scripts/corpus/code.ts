// Short programs, Python-like and JavaScript-like, that would run.

import type { Random } from "../../engine/runtime/random.ts";
import { pick } from "./prose.ts";
import { type CorpusRecord, type Split, splitOf, UNLABELLED } from "./record.ts";

const NAMES = [
  "total",
  "count",
  "price",
  "score",
  "height",
  "weight",
  "speed",
  "value",
  "left",
  "right",
  "size",
  "age",
];
const LISTS = ["numbers", "items", "prices", "scores", "values", "words"];
const INDEXES = ["i", "j", "k", "x", "item"];
const VERBS = ["get", "make", "find", "check", "update", "read"];
const CLASSES = ["Box", "Point", "Player", "Book", "Car", "Account"];

interface Names {
  readonly a: string;
  readonly b: string;
  readonly list: string;
  readonly index: string;
  readonly verb: string;
  readonly type: string;
  readonly n: number;
  readonly m: number;
  readonly operator: string;
}

type Shape = (names: Names) => string;

const PYTHON: readonly Shape[] = [
  ({ verb, a, b, operator }) => `def ${verb}_${a}(${a}, ${b}):\n    return ${a} ${operator} ${b}\n`,
  ({ index, n, a, m }) =>
    `${a} = ${m}\nfor ${index} in range(${n}):\n    ${a} = ${a} + ${index === "item" ? 1 : index}\nprint(${a})\n`,
  ({ a, n, m }) => `if ${a} > ${n}:\n    ${a} = ${a} - ${m}\nelse:\n    ${a} = ${a} + ${m}\n`,
  ({ list, index, n, m, a }) =>
    `${list} = [${n}, ${m}, ${n + m}]\n${a} = 0\nfor ${index} in ${list}:\n    ${a} += ${index}\nprint(${a})\n`,
  ({ type, a, verb }) =>
    `class ${type}:\n    def __init__(self, ${a}):\n        self.${a} = ${a}\n\n    def ${verb}_${a}(self):\n        return self.${a}\n`,
  ({ a, n, m }) => `${a} = 0\nwhile ${a} < ${n * 10}:\n    ${a} += ${m}\nprint("${a}", ${a})\n`,
  ({ list, index, n }) => `def large(${list}):\n    return [${index} for ${index} in ${list} if ${index} > ${n}]\n`,
];

const JAVASCRIPT: readonly Shape[] = [
  ({ verb, a, b, operator }) => `function ${verb}${capital(a)}(${a}, ${b}) {\n  return ${a} ${operator} ${b};\n}\n`,
  ({ index, n, a, m }) =>
    `let ${a} = ${m};\nfor (let ${index} = 0; ${index} < ${n}; ${index}++) {\n  ${a} += ${index};\n}\nconsole.log(${a});\n`,
  ({ a, n, m }) => `if (${a} > ${n}) {\n  ${a} = ${a} - ${m};\n} else {\n  ${a} = ${a} + ${m};\n}\n`,
  ({ list, index, n, m, a }) =>
    `const ${list} = [${n}, ${m}, ${n + m}];\nlet ${a} = 0;\nfor (const ${index} of ${list}) {\n  ${a} += ${index};\n}\n`,
  ({ type, a, verb }) =>
    `class ${type} {\n  constructor(${a}) {\n    this.${a} = ${a};\n  }\n\n  ${verb}${capital(a)}() {\n    return this.${a};\n  }\n}\n`,
  ({ list, index, n, operator }) =>
    `const large = ${list}.map((${index}) => ${index} ${operator} ${n});\nconsole.log(large);\n`,
];

const capital = (word: string): string => word[0]!.toUpperCase() + word.slice(1);

export function code(split: Split, random: Random): CorpusRecord {
  for (;;) {
    const python = random.float() < 0.5;
    const shapes = python ? PYTHON : JAVASCRIPT;
    const first = random.int(NAMES.length);
    const text = Array.from({ length: 1 + random.int(2) }, () =>
      pick(
        shapes,
        random,
      )({
        a: NAMES[first]!,
        b: NAMES[(first + 1 + random.int(NAMES.length - 1)) % NAMES.length]!,
        list: pick(LISTS, random),
        index: pick(INDEXES, random),
        verb: pick(VERBS, random),
        type: pick(CLASSES, random),
        n: 2 + random.int(30),
        m: 1 + random.int(9),
        operator: pick(["+", "-", "*"], random),
      }),
    ).join("\n");
    if (splitOf(text) === split) {
      return { ...UNLABELLED, text, language: "und", topic: "programming", kind: "code", split };
    }
  }
}
