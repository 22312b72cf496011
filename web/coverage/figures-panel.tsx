import type { Job } from "../api/follow-job.ts";
import { ArtifactButton } from "../elements/artifact-button.tsx";
import { formatCount, formatFigure, formatShare } from "../elements/format.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";
import type { Analysis, Analyzed, Interval } from "./analysis-data.ts";

interface Column {
  readonly title: string;
  readonly means: string;
  readonly value: (benchmark: Analyzed) => string;
}

const columns: readonly Column[] = [
  { title: "Samples", means: "N", value: ({ samples }) => formatCount(samples) },
  { title: "Features", means: "distinct features that any sample activates", value: (b) => formatCount(b.features) },
  { title: "Unique", means: "of them in no other benchmark", value: (b) => formatShare(b.uniqueness) },
  { title: "Redundancy", means: "R̂ and its 95 % interval", value: (b) => between(b.redundancy, b.redundancy_interval) },
  { title: "Coverage", means: "area under the curve", value: (b) => between(b.coverage_auc, b.coverage_auc_interval) },
  { title: "For 95 %", means: "samples that cover 95 % of its features", value: (b) => neededFor(b, 0.95) },
  {
    title: "Add nothing",
    means: "samples that the full greedy choice does without",
    value: (b) => formatCount(b.adds_nothing.together),
  },
  { title: "Lost without", means: "features the suite loses without it", value: (b) => formatCount(b.lost_without) },
];

export function FiguresPanel({ analysis, job }: { readonly analysis: Analysis; readonly job: Job }) {
  return (
    <section class="panel" aria-labelledby="figures-title">
      <div class="panel-head">
        <h2 id="figures-title">All figures</h2>
      </div>
      <ScrollBox label="Table of figures">
        <table>
          <thead>
            <tr>
              <th scope="col">Benchmark</th>
              {columns.map(({ title, means }) => (
                <th key={title} scope="col" class="number" title={means}>
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {analysis.order.map((i) => {
              const benchmark = analysis.benchmarks[i]!;
              return (
                <tr key={benchmark.name}>
                  <th scope="row">{benchmark.name}</th>
                  {columns.map(({ title, value }) => (
                    <td key={title} class="number">
                      {value(benchmark)}
                    </td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
      </ScrollBox>
      <div class="artifact-row">
        {job.artifacts.map(({ artifact_id, name }) => (
          <ArtifactButton key={artifact_id} id={artifact_id} name={name} />
        ))}
      </div>
    </section>
  );
}

function between(value: number | null, interval: Interval): string {
  return interval === null
    ? formatFigure(value)
    : `${formatFigure(value)} (${formatFigure(interval.low, 2)}–${formatFigure(interval.high, 2)})`;
}

function neededFor({ coreset }: Analyzed, wanted: number): string {
  const needed = coreset.find(({ share }) => share === wanted);
  return needed === undefined ? "–" : formatCount(needed.samples);
}
