import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Sample } from "../../domain/dataset.ts";
import { parsePromptTemplate } from "../../domain/prompt-template.ts";
import { readyTemplates } from "../../domain/ready-templates.ts";
import { readyShapes } from "../../domain/template.ts";
import { openDataset } from "../../formats/dataset.ts";

const fixtures = join(import.meta.dirname, "../fixtures/benchmarks");

/** A folder with the real files, laid out as tests/README.md says. */
const published = process.env.BENCHMARK_FILES;

async function load(
  path: string,
): Promise<{ template: string | null; samples: Sample[]; prompts: string[]; solved: string[] }> {
  const bytes = await readFile(path);
  const { shape, samples: stream } = await openDataset([bytes], { fileName: path, shapes: readyShapes() });
  const samples: Sample[] = [];
  for await (const { sample } of stream) samples.push(sample);
  const template = shape?.template ?? null;
  const render = (source: string) => {
    const parsed = parsePromptTemplate(source);
    return samples.map((sample, i) => parsed.render(sample, i + 1));
  };
  const ready = readyTemplates[template ?? "text"]!;
  return { template, samples, prompts: render(template ?? "text"), solved: render(ready.shot ?? ready.template) };
}

const arcPrompts = [
  "Question: Which one is a planet?\nA. Moon\nB. Mars\nC. Sun\nD. Halley\nAnswer:",
  "Question: Which melts?\n1. ice\n2. stone\n3. sand\nAnswer:",
];
const mmluPrompt = 'Which of these, if any, is a "noble" gas?\nA. Neon, for one\nB. Oxygen\nC. Iron\nD. Water\nAnswer:';
const mbppPrompt = '"""\nWrite a function to add 0.\nassert plus(1) == 1\nassert plus(0) == 0\n"""\n';

const expected: [file: string, template: string, rows: number, prompt: string, solvedEnd: string][] = [
  ["gsm8k.jsonl", "gsm8k", 3, "Question: Ann has 3 bags with 4 nuts each. How many nuts?\nAnswer:", " nuts.\n#### 12"],
  ["gsm8k.parquet", "gsm8k", 3, "Question: Ann has 3 bags with 4 nuts each. How many nuts?\nAnswer:", "\n#### 12"],
  ["math.json", "math", 2, "Problem:\nFind $x$ if $2x = \\frac{6}{1}$.\n\nSolution:", " $x = \\boxed{3}$."],
  ["math-500.jsonl", "math", 2, "Problem:\nFind $x$ if $2x = \\frac{6}{1}$.\n\nSolution:", " $x = \\boxed{3}$."],
  ["mmlu.csv", "mmlu", 3, mmluPrompt, "\nAnswer: A"],
  ["mmlu-headed.csv", "mmlu", 3, mmluPrompt, "\nAnswer: A"],
  ["mmlu.parquet", "mmlu", 3, mmluPrompt, "\nAnswer: A"],
  ["ceval.csv", "mmlu", 1, "二加二等于几？\nA. 三\nB. 四\nC. 五\nD. 六\nAnswer:", "Answer: B"],
  ["cmmlu.csv", "mmlu", 1, "二加二等于几？\nA. 三\nB. 四\nC. 五\nD. 六\nAnswer:", "Answer: B"],
  [
    "mmlu-pro.parquet",
    "mmlu_pro",
    2,
    "Question: Which is even?\nOptions:\nA. 1\nB. 3\nC. 5\nD. 7\nE. 8\nAnswer:",
    ": E",
  ],
  [
    "HumanEval.jsonl.gz",
    "humaneval",
    3,
    '\n\ndef plus_0(x: int) -> int:\n    """ Add 0 to x.\n    >>> plus_0(1)\n    1\n    """\n',
    '"""\n    return x + 0\n',
  ],
  ["arc.jsonl", "arc", 2, arcPrompts[0]!, "Answer: B"],
  ["arc.parquet", "arc", 2, arcPrompts[0]!, "Answer: B"],
  [
    "boolq.jsonl",
    "boolq",
    2,
    "Ice is frozen water. Steam is hot.\nQuestion: is ice colder than steam?\nAnswer:",
    " yes",
  ],
  [
    "boolq.parquet",
    "boolq",
    2,
    "Ice is frozen water. Steam is hot.\nQuestion: is ice colder than steam?\nAnswer:",
    " yes",
  ],
  ["hellaswag.jsonl", "hellaswag", 2, "A man opens an oven. he", "he takes out a cake."],
  ["hellaswag.parquet", "hellaswag", 2, "A man opens an oven. he", "he takes out a cake."],
  ["mbpp.jsonl", "mbpp", 2, mbppPrompt, "def plus(x):\r\n  return x + 0"],
  ["sanitized-mbpp.json", "mbpp", 2, mbppPrompt, "def plus(x):\r\n  return x + 0"],
];

describe("a benchmark's file as published", () => {
  it.each(expected)("%s is recognised as %s", async (file, template, rows, prompt, solvedEnd) => {
    const found = await load(join(fixtures, file));
    expect(found.template).toBe(template);
    expect(found.samples).toHaveLength(rows);
    expect(found.prompts[0]).toBe(prompt);
    expect(found.solved[0]).toMatch(/^[\s\S]+$/);
    expect(found.solved[0]!.startsWith(prompt)).toBe(true);
    expect(found.solved[0]!.endsWith(solvedEnd), found.solved[0]).toBe(true);
  });

  it("ARC's own labels stay, in either shape", async () => {
    for (const file of ["arc.jsonl", "arc.parquet"]) {
      const { prompts, samples } = await load(join(fixtures, file));
      expect(prompts).toEqual(arcPrompts);
      expect(samples.map(({ id }) => id)).toEqual(["Mercury_1", "NYSEDREGENTS_2"]);
    }
  });

  it("MMLU's first row is data even where a choice is a word that headers use", async () => {
    const rows = (await readFile(join(fixtures, "mmlu.csv"), "utf8")).replace(/^.*\n/, "");
    const { samples, shape } = await openDataset([Buffer.from(rows)], { fileName: "a.csv", shapes: readyShapes() });
    const { value: first } = await samples.next();
    await samples.return(undefined);
    expect(shape?.template).toBe("mmlu");
    expect((first as { sample: Sample }).sample).toMatchObject({ A: "story", B: "answer", answer: "A" });
  });

  it("every file of the fixtures is expected here", async () => {
    const files = (await readdir(fixtures)).filter((name) => name !== "make.py");
    expect(files.sort()).toEqual(expected.map(([file]) => file).sort());
  });
});

describe.skipIf(!published)("the real files (BENCHMARK_FILES is set to their folder)", () => {
  it("GSM8K's test split has 1,319 rows, of which each is prompted and solved", async () => {
    const { template, samples, solved } = await load(join(published!, "gsm8k_test.jsonl"));
    expect(template).toBe("gsm8k");
    expect(samples).toHaveLength(1319);
    expect(solved.every((text) => /\n#### -?[\d,.]+$/.test(text))).toBe(true);
  });

  it("HumanEval has 164 rows", async () => {
    const { template, samples, solved } = await load(join(published!, "HumanEval.jsonl.gz"));
    expect(template).toBe("humaneval");
    expect(samples).toHaveLength(164);
    expect(samples.every((sample) => solved[samples.indexOf(sample)]!.includes(`def ${sample.entry_point}`))).toBe(
      true,
    );
  });

  it("MMLU's 57 subjects have 14,042 rows with four choices and an answer each", async () => {
    const folder = join(published!, "mmlu_test");
    let rows = 0;
    for (const file of await readdir(folder)) {
      const { template, samples, solved } = await load(join(folder, file));
      expect(template, file).toBe("mmlu");
      for (const text of solved)
        expect(text).toMatch(/\nA\. [\s\S]*\nB\. [\s\S]*\nC\. [\s\S]*\nD\. [\s\S]*\nAnswer: [A-D]$/);
      rows += samples.length;
    }
    expect(rows).toBe(14_042);
  });
});
