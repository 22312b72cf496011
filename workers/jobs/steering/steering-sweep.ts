/**
 * steering.sweep: every feature and strength goes on from some of the prompts; the best that stays fluent then has to beat its
 * controls on the others. What was measured until a cancel stays as artifacts, without a verdict.
 */
import type { SteeringSweepSettings } from "../../../domain/sweep.ts";
import { goalSign } from "../../../domain/sweep-goal.ts";
import { countTexts, cutPrompts, maximumFinalists, type PlannedCell, sweepEdits } from "../../../domain/sweep-plan.ts";
import { finalists } from "../../../engine/features/sweep-verdict.ts";
import type { JobOutput } from "../../protocol.ts";
import { type JobContext, type JobHandler, Stopped } from "../handler.ts";
import { drawHalves, type Halves, judgedArms, ownControls } from "./sweep-arms.ts";
import { type Arm, openBench } from "./sweep-bench.ts";
import { createSweepReport, type SweepReport } from "./sweep-report.ts";
import { type SweepRun, startSweepRun } from "./sweep-run.ts";

export const steeringSweep: JobHandler<SteeringSweepSettings> = async (settings, context) => {
  const bench = await openBench(settings, context);
  try {
    const cells = sweepEdits(settings);
    const cut = cutPrompts(bench.prompts.length, cells.length, settings.held_out);
    const halves = drawHalves(bench.prompts.length, cut, settings.seed);
    const run = await startSweepRun(bench, context);
    return await sweepCells({ settings, context, run, cells, halves, before: 0 });
  } finally {
    await bench.close();
  }
};

export interface Sweep {
  readonly settings: SteeringSweepSettings;
  readonly context: JobContext;
  readonly run: SweepRun;
  readonly cells: readonly PlannedCell[];
  readonly halves: Halves;
  /** Texts of whatever went before. */
  readonly before: number;
}

/** @throws Stopped, on a cancel with what was measured until then */
export async function sweepCells(parts: Sweep): Promise<JobOutput> {
  const { settings, context } = parts;
  const report = createSweepReport({ ...parts, sign: goalSign(settings.goal) });
  try {
    await sweep(parts, report);
  } catch (error) {
    if (!(error instanceof Stopped) || error.reason !== "cancel") throw error;
    throw new Stopped("cancel", await report.output(context, null));
  }
  return await report.output(context, report.verdict());
}

/** Without steering, from every prompt. */
export function baselineArm(prompts: number): Arm {
  const all = Array.from({ length: prompts }, (_, index) => index);
  return { key: "baseline", edit: null, as: "itself", instructed: false, prompts: all };
}

async function sweep({ settings, context, run, cells, halves, before }: Sweep, report: SweepReport): Promise<void> {
  const { compared, judged, apart } = halves;
  const cut = { compared: compared.length, judged: judged.length, apart };
  run.expect(before + countTexts(settings, cells.length, cut));
  await run.measure([baselineArm(run.bench.prompts.length)], () => {});
  await run.measure(
    cells.map(
      ({ cell, edit }): Arm => ({
        ...{ key: `cell ${cell}`, edit, prompts: compared },
        as: "itself",
        instructed: false,
      }),
    ),
    ({ key }) => context.event("cell", report.cell(key)),
  );
  const final = finalists(report.summaries(), maximumFinalists);
  if (cells.length > 1) {
    run.expect(before + countTexts(settings, cells.length, cut, final.length));
    const controls = final.flatMap((index) => ownControls(settings, cells[index]!, "compared", compared));
    await run.measure(controls, () => {});
  }
  const best = report.choose(final);
  if (best === null) return;
  const arms = judgedArms(settings, cells[best]!, halves);
  await run.measure(arms, () => {});
  report.judge(best, arms);
  for (const arm of report.arms()) context.event("arm", arm);
}
