import { useState } from "preact/hooks";
import type { Job } from "../api/follow-job.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { useAnalysis } from "./analysis-data.ts";
import { CoresetPanel } from "./coreset-panel.tsx";
import { CurvesPanel } from "./curves-panel.tsx";
import { FiguresPanel } from "./figures-panel.tsx";
import { Findings } from "./findings.tsx";
import { MatrixPanel } from "./matrix-panel.tsx";
import { MethodNote } from "./method-note.tsx";
import { PairPanel } from "./pair-panel.tsx";
import { RedundancyPanel } from "./redundancy-panel.tsx";

export function AnalysisReport({ job }: { readonly job: Job }) {
  const { value: analysis, problem, reload } = useAnalysis(job);
  const [pair, setPair] = useState<readonly [number, number] | null>(null);
  if (problem) return <ProblemNotice problem={problem} retry={reload} />;
  if (analysis === null) return <p class="loading">Loading…</p>;
  const [first = 0, second = first] = analysis.order;
  const selected = pair ?? [first, second];
  return (
    <>
      <Findings analysis={analysis} />
      <div class="matrix-columns">
        <MatrixPanel analysis={analysis} selected={selected} onSelect={(row, column) => setPair([row, column])} />
        <PairPanel analysis={analysis} pair={selected} />
      </div>
      <div class="chart-columns">
        <CurvesPanel analysis={analysis} chosen={selected} />
        <RedundancyPanel analysis={analysis} />
      </div>
      <CoresetPanel analysis={analysis} />
      <FiguresPanel analysis={analysis} job={job} />
      <MethodNote analysis={analysis} />
    </>
  );
}
