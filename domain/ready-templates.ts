// The ready templates: how the prompt of a benchmark's sample reads, and how a file of that benchmark is recognised as published.
import type { ColumnMapping } from "./dataset.ts";

/** One form in which a benchmark's files are published. The first row decides whether a file has it. */
export interface FileShape {
  /** Columns, or dotted paths into them, that a row of such a file has. Compared without regard to case. */
  readonly columns: readonly string[];
  /** What the value of a column must look like, where names alone would not tell. */
  readonly values?: Readonly<Record<string, RegExp>>;
  /** CSV that is published without a header: the names of its columns, in order. */
  readonly header?: readonly string[];
  readonly mapping?: ColumnMapping;
  /** The column that names a sample; where a file has it, no two rows may share a value. */
  readonly id?: string;
}

export interface ReadyTemplate {
  readonly purpose: string;
  readonly template: string;
  /** How a solved example reads, for prompts with examples. */
  readonly shot?: string;
  readonly shapes?: readonly FileShape[];
}

const lettered = /^\s*[A-D]\s*$/;
const numbered = /^\s*[0-3]\s*$/;

export const readyTemplates: Readonly<Record<string, ReadyTemplate>> = {
  text: { template: "{text}", shot: "{text}", purpose: "the sample as it is; used when nothing else fits" },
  question: { template: "{question}", purpose: "the bare question" },
  question_answer: {
    template: "Question: {question}\nAnswer:",
    shot: "Question: {question}\nAnswer: {answer}",
    purpose: "short answers and word problems (TriviaQA and the like)",
  },
  multiple_choice: {
    template: "Question: {question}\n{choices}\nAnswer:",
    shot: "Question: {question}\n{choices}\nAnswer: {answer|letter}",
    purpose: "a question with lettered choices; the answer is a letter or an index from 0",
  },
  solved: {
    template: "Question: {question}\nAnswer: {answer}",
    purpose: "the question with its solution; the last token is then the solution's",
  },
  code: {
    template: "{prompt}",
    purpose: "a code prefix to continue (MultiPL-E)",
    shapes: [{ columns: ["name", "language", "prompt", "tests", "stop_tokens"], id: "name" }],
  },
  code_task: { template: '"""\n{text}\n"""\n', purpose: "a task in words, put into a docstring" },

  gsm8k: {
    template: "Question: {question}\nAnswer:",
    shot: "Question: {question}\nAnswer: {answer}",
    purpose: "GSM8K: word problems; the answer is the worked solution, ending in #### and the number",
    shapes: [{ columns: ["question", "answer"], values: { answer: /####\s*-?[\d,.]+\s*$/ } }],
  },
  math: {
    template: "Problem:\n{question}\n\nSolution:",
    shot: "Problem:\n{question}\n\nSolution: {solution}",
    purpose: "MATH and its subsets: competition problems with worked solutions",
    shapes: [{ columns: ["problem", "solution", "level"], mapping: { question: "problem" }, id: "unique_id" }],
  },
  mmlu: {
    template: "{question}\n{choices}\nAnswer:",
    shot: "{question}\n{choices}\nAnswer: {answer|letter}",
    purpose: "MMLU, C-Eval, CMMLU: four choices; the answer is a letter or an index from 0",
    shapes: [
      {
        columns: ["question", "a", "b", "c", "d", "answer"],
        values: { answer: lettered },
        header: ["question", "A", "B", "C", "D", "answer"],
      },
      { columns: ["question", "choice0", "choice1", "choice2", "choice3", "answer"], values: { answer: numbered } },
      { columns: ["question", "choices.0", "choices.3", "answer"], values: { answer: numbered } },
    ],
  },
  mmlu_pro: {
    template: "Question: {question}\nOptions:\n{options}\nAnswer:",
    shot: "Question: {question}\nOptions:\n{options}\nAnswer: {answer}",
    purpose: "MMLU-Pro and SuperGPQA: up to ten choices; the answer is a letter",
    shapes: [
      { columns: ["question_id", "question", "options.0", "answer", "answer_index"], id: "question_id" },
      {
        columns: ["uuid", "question", "options.0", "answer", "answer_letter"],
        id: "uuid",
        mapping: { answer: "answer_letter" },
      },
    ],
  },
  arc: {
    template: "Question: {question}\n{choices}\nAnswer:",
    shot: "Question: {question}\n{choices}\nAnswer: {answer}",
    purpose: "ARC, OpenBookQA, CommonsenseQA: choices with labels of their own; the answer is a label",
    shapes: [
      {
        columns: ["question.stem", "question.choices", "answerKey"],
        mapping: { question: "question.stem", choices: "question.choices", answer: "answerKey" },
        id: "id",
      },
      {
        columns: ["question", "choices.text", "choices.label", "answerKey"],
        mapping: { answer: "answerKey" },
        id: "id",
      },
      {
        columns: ["question_stem", "choices.text", "choices.label", "answerKey"],
        mapping: { question: "question_stem", answer: "answerKey" },
        id: "id",
      },
    ],
  },
  boolq: {
    template: "{passage}\nQuestion: {question}?\nAnswer:",
    shot: "{passage}\nQuestion: {question}?\nAnswer: {answer|yes_no}",
    purpose: "BoolQ: a passage and a question that is answered yes or no",
    shapes: [{ columns: ["passage", "question", "answer"], values: { answer: /^(true|false)$/i } }],
  },
  hellaswag: {
    template: "{ctx}",
    shot: "{ctx} {endings|pick:label}",
    purpose: "HellaSwag: the beginning of a story that one of four endings continues",
    shapes: [{ columns: ["ctx", "endings.0", "label"], mapping: { text: "ctx", choices: "endings", answer: "label" } }],
  },
  humaneval: {
    template: "{prompt}",
    shot: "{prompt}{canonical_solution}",
    purpose: "HumanEval and EvalPlus: the head of a function, with its task in a docstring",
    shapes: [{ columns: ["task_id", "prompt", "canonical_solution", "entry_point"], id: "task_id" }],
  },
  mbpp: {
    template: '"""\n{text}\n{test_list|lines}\n"""\n',
    shot: '"""\n{text}\n{test_list|lines}\n"""\n{code}',
    purpose: "MBPP: a task in words with the assertions that its solution must pass",
    shapes: [
      { columns: ["task_id", "text", "code", "test_list"], id: "task_id" },
      { columns: ["task_id", "prompt", "code", "test_list"], mapping: { text: "prompt" }, id: "task_id" },
    ],
  },
};
