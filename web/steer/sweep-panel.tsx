// Which strength works: a steering.sweep job over the first edit's feature, its plot as it grows, and its verdict.
import { useState } from "preact/hooks";
import type { SteeringSweepResult, SweepCell } from "../../domain/sweep.ts";
import type { Sae } from "../api/catalog.ts";
import type { JobEvent } from "../api/follow-job.ts";
import { useJob } from "../api/use-job.ts";
import { TradeOffChart } from "../charts/trade-off-chart.tsx";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { ProgressBar } from "../elements/progress-bar.tsx";
import { type EditForm, formOfEdit, type SteerForm } from "./steer-form.ts";
import { SweepFields } from "./sweep-fields.tsx";
import { emptySweep, missingFromSweep, pointsOf, type SweepForm, sweepInput } from "./sweep-form.ts";
import { SweepVerdictView } from "./sweep-verdict.tsx";

interface SweepPanelProps {
  readonly form: SteerForm;
  readonly modelId: string | null;
  readonly saes: readonly Sae[];
  use(edit: EditForm): void;
}

/** The default of steering.sweep's `limits.perplexity_ratio`. */
const perplexityLimit = 3;

/** A cell that failed says its reason instead of its figures. */
function measuredCells(events: readonly JobEvent[]): SweepCell[] {
  return events
    .filter(({ type, data }) => type === "cell" && !("reason" in data))
    .map(({ data }) => data as unknown as SweepCell);
}

export function SweepPanel({ form, modelId, saes, use }: SweepPanelProps) {
  const [sweep, setSweep] = useState<SweepForm>(emptySweep);
  const running = useJob();
  if (modelId === null || form.edits[0]?.feature.trim() === "") return null;
  const missing = missingFromSweep(sweep, form);
  const result = running.job?.state === "succeeded" ? (running.job.result as SteeringSweepResult) : null;
  const live = measuredCells(running.events);
  const cells = result?.cells ?? live;
  const problem = running.problem ?? running.job?.error ?? null;
  const best = result?.best?.steering.edits[0];
  const bestForm = best ? formOfEdit(best) : null;
  return (
    <details class="panel folded">
      <summary>
        <h2>Which strength works</h2>
      </summary>
      <p class="soft small">
        Writes every prompt at every strength, scores the texts, and compares the best with controls: no steering,
        random features of equal size, the opposite sign.
      </p>
      <SweepFields sweep={sweep} form={form} change={(changes) => setSweep((last) => ({ ...last, ...changes }))} />
      <div class="steer-run">
        {running.busy ? (
          <button type="button" class="button" onClick={running.cancel}>
            Cancel
          </button>
        ) : (
          <button
            type="button"
            class="button primary"
            disabled={missing !== null}
            onClick={() => running.start("steering.sweep", sweepInput(sweep, form, modelId))}
          >
            Sweep
          </button>
        )}
        <p class="field-hint">{missing}</p>
      </div>
      {running.busy && <ProgressBar label="Sweep" progress={running.job?.progress ?? null} />}
      {problem && <ProblemNotice problem={problem} />}
      {cells.length > 0 && (
        <TradeOffChart
          title="Goal reached against fluency lost, by strength"
          xTitle="perplexity over the unsteered text's"
          series={[{ name: form.edits[0]?.feature ?? "", points: pointsOf(cells) }]}
          limit={perplexityLimit}
          limitTitle="no longer fluent →"
        />
      )}
      {result && <SweepVerdictView result={result} saes={saes} use={bestForm && (() => use(bestForm))} />}
    </details>
  );
}
