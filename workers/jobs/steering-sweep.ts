/**
 * steering.sweep: every feature and strength goes on from some of the prompts; the best that stays fluent then has to beat its
 * controls on the others. What was measured until a cancel stays as artifacts, without a verdict.
 */
import type { SteeringSweepSettings } from "../../domain/sweep.ts";
import { goalSign } from "../../domain/sweep-goal.ts";
import { countTexts, cutPrompts, maximumFinalists, type PlannedCell, sweepEdits } from "../../domain/sweep-plan.ts";
import { finalists } from "../../engine/features/sweep-verdict.ts";
import { type JobContext, type JobHandler, Stopped } from "./handler.ts";
import { drawHalves, type Halves, judgedArms, ownControls } from "./sweep-arms.ts";
import { type Arm, openBench } from "./sweep-bench.ts";
import { createSweepReport, type SweepReport } from "./sweep-report.ts";
import { type SweepRun, startSweepRun } from "./sweep-run.ts";

export const steeringSweep: JobHandler<SteeringSweepSettings> = async (settings, context) => {
  const bench = await openBench(settings, context);
  try {
    const cells = sweepEdits(settings);
    const halves = drawHalves(
      bench.prompts.length,
      cutPrompts(bench.prompts.length, cells.length, settings.held_out),
      settings.seed,
    );
    const run = await startSweepRun(bench, context);
    const report = createSweepReport({ settings, run, cells, halves, sign: goalSign(settings.goal) });
    try {
      await sweep({ settings, context, run, cells, halves, report });
    } catch (error) {
      if (!(error instanceof Stopped) || error.reason !== "cancel") throw error;
      throw new Stopped("cancel", await report.output(context, null));
    }
    return await report.output(context, report.verdict());
  } finally {
    await bench.close();
  }
};

interface Sweep {
  readonly settings: SteeringSweepSettings;
  readonly context: JobContext;
  readonly run: SweepRun;
  readonly cells: readonly PlannedCell[];
  readonly halves: Halves;
  readonly report: SweepReport;
}

async function sweep({ settings, context, run, cells, halves, report }: Sweep): Promise<void> {
  const { compared, judged, apart } = halves;
  run.expect(countTexts(settings, cells.length, { compared: compared.length, judged: judged.length, apart }));
  const baseline = { key: "baseline", edit: null, as: "itself", instructed: false } as const;
  await run.measure([{ ...baseline, prompts: [...new Set([...compared, ...judged])].sort((a, b) => a - b) }], () => {});
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
    run.expect(
      countTexts(settings, cells.length, { compared: compared.length, judged: judged.length, apart }, final.length),
    );
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
