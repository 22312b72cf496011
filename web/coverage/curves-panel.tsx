import { useRef, useState } from "preact/hooks";
import { ChartExports } from "../charts/chart-exports.tsx";
import { csvOf } from "../charts/csv.ts";
import { Axes } from "../charts/line-chart.tsx";
import { lineGeometry, narrowFrame, wideFrame } from "../charts/line-geometry.ts";
import { formatFigure } from "../elements/format.ts";
import { narrow } from "../shell/viewport.ts";
import type { Analysis } from "./analysis-data.ts";

/** How fast samples drawn at random cover a benchmark's features; the area below a curve is its AUC. */
export function CurvesPanel({
  analysis,
  chosen,
}: {
  readonly analysis: Analysis;
  readonly chosen: readonly [number, number];
}) {
  const drawing = useRef<SVGSVGElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const { benchmarks } = analysis;
  const frame = narrow.value ? narrowFrame : { ...wideFrame, height: 300 };
  const series = benchmarks.map(({ name, samples, coverage }) => ({
    name,
    points: [{ x: 0, y: 0 }, ...coverage.samples.map((n, i) => ({ x: n / samples, y: coverage.coverage[i] ?? 0 }))],
  }));
  const geometry = lineGeometry(series, { frame, spanX: [0, 1], spanY: [0, 1] });
  const marked = [...new Set(pointed === null ? chosen : [pointed])];
  const csv = () =>
    csvOf([
      ["benchmark", "samples", "coverage"],
      ...benchmarks.flatMap(({ name, coverage }) =>
        coverage.samples.map((n, i) => [name, n, coverage.coverage[i] ?? null] as const),
      ),
    ]);
  return (
    <section class="panel" aria-labelledby="curves-title">
      <div class="panel-head">
        <h2 id="curves-title">Coverage</h2>
        <ChartExports name="benchmark-coverage" drawing={drawing} csv={csv} />
        <p>Share of a benchmark's features that a share of its samples covers, expected of a random draw.</p>
      </div>
      <svg
        ref={drawing}
        class="curves"
        viewBox={`0 0 ${frame.width} ${frame.height}`}
        role="img"
        aria-label={`Coverage curves; areas: ${benchmarks.map(({ name, coverage_auc }) => `${name} ${formatFigure(coverage_auc)}`).join(", ")}`}
      >
        <Axes geometry={geometry} xTitle="share of samples" />
        {geometry.lines.map(({ name, path }, i) =>
          marked.includes(i) ? null : <path key={name} class="curve" d={path} />,
        )}
        {marked.map((i, k) => (
          <g key={i} class={`series-${k + 1}`}>
            <path class="chart-line" d={geometry.lines[i]?.path ?? ""} />
          </g>
        ))}
      </svg>
      <ul class="curve-names">
        {benchmarks.map(({ name, coverage_auc }, i) => {
          const place = marked.indexOf(i);
          return (
            <li key={name} class={place >= 0 ? `marked series-${place + 1}` : ""}>
              <button
                type="button"
                onPointerEnter={() => setPointed(i)}
                onPointerLeave={() => setPointed(null)}
                onFocus={() => setPointed(i)}
                onBlur={() => setPointed(null)}
              >
                {name} <b>{formatFigure(coverage_auc)}</b>
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
