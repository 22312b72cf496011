// A sweep over strengths for one edit of the form: its input, and its cells as points of the plot.
import type { SteeringSweepInput, SweepCell } from "../../domain/sweep.ts";
import type { TradeOffPoint } from "../charts/trade-off-chart.tsx";
import { type EditForm, editsOf, emptyForm, opWords, type SteerForm } from "./steer-form.ts";

export interface SweepForm {
  readonly goal: "script" | "regex";
  readonly script: string;
  readonly pattern: string;
  readonly direction: "more" | "less";
  readonly strengths: string;
  /** One a line. */
  readonly prompts: string;
  /** Empty: the lines above; else a dataset's id. */
  readonly datasetId: string;
  readonly promptLimit: number;
}

export const emptySweep: SweepForm = {
  goal: "script",
  script: "Han",
  pattern: "",
  direction: "more",
  strengths: "0.25, 0.5, 1, 1.5, 2",
  prompts: "",
  datasetId: "",
  promptLimit: 24,
};

/** Half of the prompts choose the strength, the other half judge it; a verdict needs six that judge. */
export const promptsForVerdict = 12;

/** The numbers of a list by commas or spaces; null when something in it is no number. */
export function numbersOf(text: string): number[] | null {
  const parts = text.split(/[\s,;]+/).filter((part) => part !== "");
  const numbers = parts.map(Number);
  return numbers.length > 0 && numbers.every(Number.isFinite) ? [...new Set(numbers)].sort((a, b) => a - b) : null;
}

export function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}

/** What stands in the way of starting, or null. */
export function missingFromSweep(sweep: SweepForm, form: SteerForm): string | null {
  const edit = form.edits[0];
  if (!edit || editsOf({ ...form, edits: [edit] }).length === 0) return "Choose a feature for the first edit.";
  if (takesStrengths(edit) && numbersOf(sweep.strengths) === null) return "Strengths are numbers, separated by commas.";
  if (sweep.goal === "regex" && sweep.pattern === "") return "Say which pattern the text shall match.";
  if (sweep.goal === "script" && !/^[A-Za-z_]{2,40}$/.test(sweep.script)) return "Name a script, such as Han or Latin.";
  if (sweep.datasetId === "" && promptsOf(sweep, form).length === 0) return "Write prompts, one a line.";
  return null;
}

function takesStrengths({ op }: EditForm): boolean {
  return opWords[op].range !== null;
}

/** Without lines of its own a sweep is over the form's prompt. */
export function promptsOf(sweep: SweepForm, form: SteerForm): string[] {
  const lines = linesOf(sweep.prompts);
  return lines.length > 0 ? lines : linesOf(form.prompt).length > 0 ? [form.prompt] : [];
}

export function sweepInput(sweep: SweepForm, form: SteerForm, modelId: string): SteeringSweepInput {
  const edit = form.edits[0]!;
  const [wire] = editsOf({ ...emptyForm, edits: [edit] });
  const { direction } = sweep;
  return {
    model_id: modelId,
    ...(sweep.datasetId === ""
      ? { prompts: promptsOf(sweep, form) }
      : { dataset_id: sweep.datasetId, prompt_limit: sweep.promptLimit }),
    chat: form.mode === "chat",
    features: [edit.feature.trim()],
    op: edit.op,
    ...(takesStrengths(edit) ? { strengths: numbersOf(sweep.strengths) ?? [] } : {}),
    ...(wire?.unit === undefined ? {} : { unit: wire.unit }),
    ...(wire?.apply === undefined ? {} : { apply: wire.apply }),
    ...(wire?.when === undefined ? {} : { when: wire.when }),
    goal:
      sweep.goal === "script"
        ? { type: "script", script: sweep.script, direction }
        : { type: "regex", pattern: sweep.pattern, direction },
    max_tokens: form.maxTokens,
    temperature: form.temperature,
    seed: form.seed,
  };
}

/** In the order of strengths; cells come in as they are measured. */
export function pointsOf(cells: readonly SweepCell[]): TradeOffPoint[] {
  return [...cells]
    .sort((a, b) => (a.strength ?? 0) - (b.strength ?? 0))
    .map(({ strength, goal, perplexity_ratio: x, fluent }) => ({
      x,
      y: goal.mean,
      label: strength === null ? "" : String(strength),
      good: fluent,
    }));
}
