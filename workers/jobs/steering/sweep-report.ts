/** What a sweep has found, in the words of its result. */
import {
  fewestJudgedPrompts,
  type SteeringSweepResult,
  type SteeringSweepSettings,
  type SweepArm,
  type SweepArmName,
  type SweepCell,
  type SweepVerdict,
} from "../../../domain/sweep.ts";
import { describeGoal } from "../../../domain/sweep-goal.ts";
import type { PlannedCell } from "../../../domain/sweep-plan.ts";
import { bootstrapMean, type Draws } from "../../../engine/features/paired-bootstrap.ts";
import {
  type ArmSummary,
  finalists as finalistsOf,
  isBeaten,
  type JudgedControl,
  judge,
  pairedDifferences,
  sufferings,
  summarizeArm,
} from "../../../engine/features/sweep-verdict.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { JobOutput } from "../../protocol.ts";
import type { JobContext } from "../handler.ts";
import { type ControlArm, type Halves, ownControls } from "./sweep-arms.ts";
import type { ScoredText } from "./sweep-bench.ts";
import { writeSweepFiles } from "./sweep-files.ts";
import type { SweepRun } from "./sweep-run.ts";

export interface SweepReportParts {
  readonly settings: SteeringSweepSettings;
  readonly run: SweepRun;
  readonly cells: readonly PlannedCell[];
  readonly halves: Halves;
  readonly sign: 1 | -1;
}

export type WireCell = SweepCell | SteeringSweepResult["failed_cells"][number];

export interface SweepReport {
  /** Of a measured cell. */
  cell(key: string): WireCell;
  /** By cell; null where it is not measured, or failed. */
  summaries(): (ArmSummary | null)[];
  /** Of the finalists the one with the largest lead over the strongest of its controls; null: there are none. */
  choose(finalists: readonly number[]): number | null;
  /** `arms`: the best again, then its controls, all measured. */
  judge(best: number, arms: readonly ControlArm[]): void;
  /** The best, the baseline and the other controls on the prompts that judge; empty until then. */
  arms(): SweepArm[];
  verdict(): SweepVerdict;
  output(context: JobContext, verdict: SweepVerdict | null): Promise<JobOutput>;
}

export function createSweepReport(parts: SweepReportParts): SweepReport {
  const { settings, run, cells, halves, sign } = parts;
  const limits = {
    perplexityRatio: settings.limits.perplexity_ratio,
    distinctRatio: settings.limits.distinct_ratio,
    lengthRatio: settings.limits.length_ratio,
  };
  const drawsOf = (name: string): Draws => ({
    draws: settings.draws,
    random: createRandom(settings.seed).fork(`intervals of ${name}`),
  });
  const known = new Map<string, ArmSummary>();
  let judged: { best: number; arms: readonly ControlArm[] } | null = null;

  const textsOf = (key: string): readonly ScoredText[] | null => {
    const outcome = run.outcomes.get(key);
    return outcome && "texts" in outcome ? outcome.texts : null;
  };
  const baselineOn = (prompts: readonly number[]) => {
    const all = new Map((textsOf("baseline") ?? []).map((text) => [text.prompt, text]));
    return prompts.flatMap((prompt) => all.get(prompt) ?? []);
  };
  const summaryOf = (key: string, prompts: readonly number[]): ArmSummary | null => {
    const texts = textsOf(key);
    if (!texts) return null;
    const summary = known.get(key) ?? summarizeArm(texts, baselineOn(prompts), sign, limits, drawsOf(key));
    known.set(key, summary);
    return summary;
  };
  const summaries = () => cells.map(({ cell }) => summaryOf(`cell ${cell}`, halves.compared));
  const baseline = (prompts: readonly number[]) =>
    summarizeArm(baselineOn(prompts), null, sign, limits, drawsOf("baseline"));

  function wireCell({ cell, feature, vector, strength }: PlannedCell): WireCell | null {
    const outcome = run.outcomes.get(`cell ${cell}`);
    if (!outcome) return null;
    if ("failed" in outcome) return { cell, feature, vector, strength, reason: outcome.failed };
    const summary = summaryOf(`cell ${cell}`, halves.compared)!;
    const change = outcome.texts.reduce((sum, text) => sum + text.change, 0) / outcome.texts.length;
    return {
      cell,
      feature,
      vector,
      strength,
      ...wireMeasures(summary),
      mean_relative_change: change,
      least_lead: leastLead(cell),
      example: example(outcome.texts),
    };
  }

  const example = ([text]: readonly ScoredText[]) => ({
    prompt: run.bench.prompts[text!.prompt]!.text,
    text: text!.text,
  });

  /** Paired by prompt: both arms went on from the same ones. */
  const leadOver = (key: string, theirs: readonly ScoredText[]) => {
    const ours = textsOf(judged!.arms[0]!.key)!;
    return bootstrapMean(pairedDifferences(ours, theirs, sign), drawsOf(`the lead over ${key}`));
  };

  function controls(): (JudgedControl & { arm: SweepArm })[] {
    if (!judged || !textsOf(judged.arms[0]!.key)) return [];
    const plain = baselineOn(halves.judged);
    const lead = leadOver("baseline", plain);
    const judgedBaseline = {
      ...{ name: controlNames.baseline, lead },
      arm: {
        ...{ arm: "baseline" as const, detail: null },
        ...wireMeasures(baseline(halves.judged)),
        ...wireLead(lead),
        example: example(plain),
      },
    };
    return [
      judgedBaseline,
      ...judged.arms.slice(1).flatMap(({ arm, key }) => {
        const outcome = run.outcomes.get(key);
        // What overflows shows no text at all, and beats nobody.
        if (!outcome || "failed" in outcome) return [];
        const lead = leadOver(key, outcome.texts);
        const summary = summaryOf(key, halves.judged)!;
        const detail = outcome.drawn;
        const name = detail === null ? controlNames[arm] : `${controlNames[arm]} (${detail})`;
        return [
          {
            name,
            lead,
            arm: { arm, detail, ...wireMeasures(summary), ...wireLead(lead), example: example(outcome.texts) },
          },
        ];
      }),
    ];
  }

  /** Mean lead over the strongest control that was measured where cells are compared; null: none was. */
  function leastLead(index: number): number | null {
    const { cell } = cells[index]!;
    const texts = textsOf(`cell ${cell}`);
    const arms = ownControls(settings, cells[index]!, "compared", halves.compared);
    const known = arms.flatMap(({ key }) => textsOf(key) ?? []);
    if (!texts || known.length === 0) return null;
    const leads = arms.flatMap(({ key }) => {
      const theirs = textsOf(key);
      return theirs ? [meanOf(pairedDifferences(texts, theirs, sign))] : [];
    });
    return Math.min(summaryOf(`cell ${cell}`, halves.compared)!.effect!.mean, ...leads);
  }

  function bestArm(): SweepArm[] {
    const [best] = judged?.arms ?? [];
    const texts = best && textsOf(best.key);
    if (!texts) return [];
    const measures = wireMeasures(summaryOf(best.key, halves.judged)!);
    return [{ arm: "best", detail: null, ...measures, lead: null, beaten: null, example: example(texts) }];
  }

  function verdict(): SweepVerdict {
    const where = { judged_on: halves.apart ? ("held_out" as const) : ("all" as const), prompts: halves.judged.length };
    const [best] = bestArm();
    if (!judged || !best) {
      const found = summaries();
      const reason =
        finalistsOf(
          found.map((one) => one && { ...one, fluent: true }),
          1,
        ).length === 0
          ? "no cell moves the texts towards the goal"
          : "the cells that move the texts towards the goal are all beyond the limits of fluency";
      return { works: false, summary: `Nothing works: ${reason}.`, reasons: [reason], ...where };
    }
    const suffered = sufferings(measuresOf(best), measuresOf(wireMeasures(baseline(halves.judged))), limits);
    const judgement = judge(
      { name: nameOf(cells[judged.best]!, settings), prompts: halves.judged.length, suffered },
      controls(),
      fewestJudgedPrompts,
    );
    return { ...judgement, reasons: [...judgement.reasons], ...where };
  }

  return {
    cell: (key) => wireCell(cells[Number(key.slice("cell ".length))]!)!,
    summaries,
    choose: (found) => {
      const lead = (index: number) => leastLead(index) ?? 0;
      return found.toSorted((a, b) => lead(b) - lead(a))[0] ?? null;
    },
    judge(best, arms) {
      judged = { best, arms };
    },
    arms: () => [...bestArm(), ...controls().map(({ arm }) => arm)],
    verdict,
    async output(context, final) {
      const measured = cells.flatMap((cell) => wireCell(cell) ?? []);
      const found = {
        verdict: final,
        best: judged && { cell: judged.best, steering: { edits: [cells[judged.best]!.edit] } },
        arms: [...bestArm(), ...controls().map(({ arm }) => arm)],
        baseline: wireMeasures(baseline(halves.compared)),
        cells: measured.filter((one) => "goal" in one),
        failed_cells: measured.filter((one) => "reason" in one),
      };
      return await writeSweepFiles({ ...parts, context, found, goal: describeGoal(settings.goal) });
    },
  };
}

const controlNames: Readonly<Record<SweepArmName, string>> = {
  best: "the best",
  baseline: "the baseline",
  random_feature: "a random feature",
  negative_strength: "the negative strength",
  instruction: "the instruction alone",
};

function wireMeasures(summary: ArmSummary) {
  return {
    prompts: summary.prompts,
    goal: summary.goal,
    effect: summary.effect,
    perplexity: summary.perplexity,
    perplexity_ratio: summary.perplexityRatio,
    distinct_1: summary.distinct1,
    distinct_2: summary.distinct2,
    longest_repetition: summary.longestRepetition,
    tokens: summary.tokens,
    fluent: summary.fluent,
  };
}

const measuresOf = ({ perplexity, distinct_2, tokens }: Pick<SweepArm, "perplexity" | "distinct_2" | "tokens">) => ({
  ...{ perplexity, tokens },
  distinct2: distinct_2,
});

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function wireLead(lead: JudgedControl["lead"]) {
  return { lead, beaten: isBeaten({ lead }) };
}

/** "sae_…:1655 at 1.5 residual_norm", as a sentence begins. */
function nameOf({ feature, vector, strength }: PlannedCell, { op, unit }: SteeringSweepSettings): string {
  const what = feature ?? `vector ${vector}`;
  const at =
    strength === null
      ? op
      : `${op === "add" ? "" : `${op} `}at ${strength}${unit && unit !== "absolute" ? ` ${unit}` : ""}`;
  return `${what} ${at}`.replace(/ {2,}/g, " ");
}
