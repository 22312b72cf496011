/**
 * steering.search: a contrast of texts shortlists features, successive halving of features and strengths over growing parts of the
 * prompts leaves a few, and a sweep of those ends with a verdict on prompts that the search never saw.
 */
import type { FeaturesContrastResult, FeaturesContrastSettings } from "../../../domain/contrast.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import type { SearchRound, SteeringSearchResult, SteeringSearchSettings } from "../../../domain/search.ts";
import { planRounds } from "../../../domain/search-plan.ts";
import type { SteeringSweepSettings } from "../../../domain/sweep.ts";
import { goalSign } from "../../../domain/sweep-goal.ts";
import { countTexts, cutPrompts, type PlannedCell, sweepEdits } from "../../../domain/sweep-plan.ts";
import { goalScore, type TextScores } from "../../../engine/features/sweep-verdict.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { JobOutput } from "../../protocol.ts";
import { featuresContrast } from "../features/features-contrast.ts";
import type { JobContext, JobHandler } from "../handler.ts";
import { rankRound } from "./search-round.ts";
import { baselineArm, sweepCells } from "./steering-sweep.ts";
import { drawHalves, type Halves } from "./sweep-arms.ts";
import { type Arm, openBench } from "./sweep-bench.ts";
import { type SweepRun, startSweepRun } from "./sweep-run.ts";

/** Texts that the model writes by itself from each prompt when no examples are given. */
const OWN_TEXTS = 4;

export const steeringSearch: JobHandler<SteeringSearchSettings> = async (settings, context) => {
  const bench = await openBench(settings, context);
  try {
    const planned = settings.shortlist * settings.strengths.length;
    const prompts = bench.prompts.length;
    const halves = drawHalves(prompts, cutPrompts(prompts, planned, settings.held_out), settings.seed);
    const run = await startSweepRun(bench, context);
    const ownTexts = settings.positive ? 0 : OWN_TEXTS * halves.compared.length;
    run.expect(expectedTexts(settings, planned, halves, ownTexts));
    const contrast = await shortlist(settings, context, run, halves, ownTexts);
    const found = contrast.result as unknown as FeaturesContrastResult;
    const sweepSettings = settingsOfSweep(settings, found);
    const rounds: SearchRound[] = [];
    const left = await halve(sweepSettings, run, halves, rounds);
    const before = ownTexts + textsOf(rounds);
    const cells = left.map((one, cell) => ({ ...one, cell }));
    const swept = await sweepCells({ settings: sweepSettings, context, run, cells, halves, before });
    const result = { ...swept.result, shortlist: found.features, rounds } as unknown as SteeringSearchResult;
    return { ...swept, result, artifacts: [...(swept.artifacts ?? []), ...(contrast.artifacts ?? [])] };
  } finally {
    await bench.close();
  }
};

const textsOf = (rounds: readonly SearchRound[]) =>
  rounds.reduce((sum, { cells, prompts }) => sum + cells * prompts, 0);

function expectedTexts(settings: SteeringSearchSettings, cells: number, halves: Halves, ownTexts: number): number {
  const [compared, judged] = [halves.compared.length, halves.judged.length];
  const rounds = planRounds(cells, compared);
  const left = rounds.at(-1)?.kept ?? cells;
  return ownTexts + textsOf(rounds) + countTexts(settings, left, { compared, judged, apart: halves.apart });
}

function settingsOfSweep(
  settings: SteeringSearchSettings,
  { features }: FeaturesContrastResult,
): SteeringSweepSettings {
  const { sae_ids: _, shortlist: __, positive: ___, negative: ____, ...shared } = settings;
  return { ...shared, features: features.map(({ feature }) => feature) };
}

async function shortlist(
  settings: SteeringSearchSettings,
  context: JobContext,
  run: SweepRun,
  halves: Halves,
  ownTexts: number,
): Promise<JobOutput> {
  const sets = settings.positive ? settings : await ownExamples(settings, run, halves.compared, ownTexts);
  const contrast: FeaturesContrastSettings = {
    ...{ model_id: settings.model_id, sae_ids: settings.sae_ids, statistic: "mean_difference" },
    ...{ positive: sets.positive!, negative: [sets.negative!], top: settings.shortlist, per_layer: false },
    ...{ direction: "positive", shuffles: 0, draws: 0, seed: settings.seed },
    leave_out: {
      ...{ first_position: true, special_tokens: true, shared_prefix: false, shared_tokens: false, registers: true },
    },
  };
  const output = await featuresContrast(contrast, context);
  const { features } = output.result as unknown as FeaturesContrastResult;
  if (features.length > 0) return output;
  throw fieldProblem("DATASET_TOO_SMALL", "/input/positive", "no feature is active in these texts");
}

/** What the model writes by itself, apart by whether it scores above the mean. */
async function ownExamples(settings: SteeringSearchSettings, run: SweepRun, prompts: readonly number[], count: number) {
  const sign = goalSign(settings.goal);
  const arms = Array.from({ length: OWN_TEXTS }, (_, sample): Arm => {
    return { ...baselineArm(0), key: `own ${sample}`, sample: sample + 1, prompts };
  });
  const scored: { text: string; score: number }[] = [];
  await run.measure(arms, (_, outcome) => {
    if (!("texts" in outcome)) return;
    for (const one of outcome.texts)
      if (one.text.trim() !== "") scored.push({ text: one.text, score: sign * goalScore(one, sign) });
  });
  const mean = scored.reduce((sum, { score }) => sum + score, 0) / scored.length;
  const above = scored.filter(({ score }) => score > mean).map(({ text }) => text);
  const below = scored.filter(({ score }) => score <= mean).map(({ text }) => text);
  if (above.length > 0) return { positive: { texts: above }, negative: { texts: below } };
  const detail = `all ${count} texts that the model wrote by itself score alike: give texts that are as they shall be`;
  throw fieldProblem("DATASET_TOO_SMALL", "/input/positive", detail);
}

/** The cells that are left for the sweep, and what each round was. */
async function halve(
  settings: SteeringSweepSettings,
  run: SweepRun,
  halves: Halves,
  rounds: SearchRound[],
): Promise<PlannedCell[]> {
  await run.measure([baselineArm(run.bench.prompts.length)], () => {});
  let left = sweepEdits(settings);
  const order = createRandom(settings.seed).fork("rounds").shuffle(halves.compared.slice());
  for (const [number, round] of planRounds(left.length, order.length).entries()) {
    const prompts = order.slice(0, round.prompts);
    const key = ({ cell }: PlannedCell) => `round ${number}: cell ${cell}`;
    const arms = left.map((cell): Arm => ({ ...baselineArm(0), key: key(cell), edit: cell.edit, prompts }));
    await run.measure(arms, () => {});
    const measured = left.map((cell) => ({ cell, texts: textsOfArm(run, key(cell)) }));
    left = rankRound(measured, baselineOf(run, prompts), settings).slice(0, round.kept);
    rounds.push({ prompts: prompts.length, cells: measured.length, kept: left.length });
  }
  return left.toSorted((a, b) => a.cell - b.cell);
}

function textsOfArm({ outcomes }: SweepRun, key: string): readonly TextScores[] | null {
  const outcome = outcomes.get(key);
  return outcome && "texts" in outcome ? outcome.texts : null;
}

function baselineOf({ outcomes }: SweepRun, prompts: readonly number[]): TextScores[] {
  const outcome = outcomes.get("baseline");
  const all = outcome && "texts" in outcome ? outcome.texts : [];
  return prompts.map((prompt) => all[prompt]!);
}
