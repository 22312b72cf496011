// Lines with axes, a legend that doubles as the reading at the pointer, and a table for those who cannot see lines.
import { useState } from "preact/hooks";
import { narrow } from "../shell/viewport.ts";
import "./charts.css";
import { type LineGeometry, lineGeometry, narrowFrame, nearestX, type Series, wideFrame } from "./line-geometry.ts";
import { shortNumber } from "./ticks.ts";

interface LineChartProps {
  readonly title: string;
  readonly xTitle: string;
  readonly series: readonly Series[];
  readonly scale?: "linear" | "log";
  readonly spanX?: readonly number[];
  readonly spanY?: readonly number[];
  readonly showPoints?: boolean;
}

export function LineChart({
  title,
  xTitle,
  series,
  scale = "linear",
  spanX = [],
  spanY = [],
  showPoints,
}: LineChartProps) {
  const [at, setAt] = useState<number | null>(null);
  const geometry = lineGeometry(series, { frame: narrow.value ? narrowFrame : wideFrame, scale, spanX, spanY });
  const pointed = (event: PointerEvent) => {
    const box = (event.currentTarget as SVGSVGElement).getBoundingClientRect();
    setAt(nearestX(series, geometry, ((event.clientX - box.left) / box.width) * geometry.frame.width));
  };
  return (
    <figure class="chart">
      <figcaption class="chart-title">{title}</figcaption>
      <svg
        viewBox={`0 0 ${geometry.frame.width} ${geometry.frame.height}`}
        role="img"
        aria-label={`${title}: ${spokenSummary(series)}`}
        onPointerMove={pointed}
        onPointerLeave={() => setAt(null)}
      >
        <Axes geometry={geometry} xTitle={xTitle} />
        {at !== null && (
          <line
            class="chart-pointer"
            x1={geometry.toX(at)}
            x2={geometry.toX(at)}
            y1={geometry.frame.top}
            y2={geometry.frame.height - geometry.frame.bottom}
          />
        )}
        {geometry.lines.map(({ name, path, last }, i) => (
          <g key={name} class={`series series-${(i % 6) + 1}`}>
            <path class="chart-line" d={path} />
            {last && <circle class="chart-dot" cx={last.x} cy={last.y} r="3" />}
            {showPoints &&
              series[i]?.points.map(({ x, y }) => (
                <circle key={x} class="chart-dot" cx={geometry.toX(x)} cy={geometry.toY(y)} r="3" />
              ))}
          </g>
        ))}
      </svg>
      <Legend series={series} at={at} />
    </figure>
  );
}

export function Axes({ geometry, xTitle }: { readonly geometry: LineGeometry; readonly xTitle: string }) {
  const { frame, xMarks, yMarks } = geometry;
  const foot = frame.height - frame.bottom;
  return (
    <g class="chart-axes">
      {yMarks.map(({ at, label }) => (
        <g key={label}>
          <line class="chart-rule" x1={frame.left} x2={frame.width - frame.right} y1={at} y2={at} />
          <text x={frame.left - 6} y={at + 4} text-anchor="end">
            {label}
          </text>
        </g>
      ))}
      {xMarks.map(({ at, label }, i) => (
        <text key={label} x={at} y={foot + 16} text-anchor={i === xMarks.length - 1 ? "end" : "middle"}>
          {label}
        </text>
      ))}
      <text class="chart-x-title" x={frame.left} y={frame.height - 2}>
        {xTitle}
      </text>
    </g>
  );
}

function Legend({ series, at }: { readonly series: readonly Series[]; readonly at: number | null }) {
  return (
    <ul class="chart-legend">
      {series.map(({ name, points }, i) => {
        const point = at === null ? points.at(-1) : points.find(({ x }) => x === at);
        return (
          <li key={name} class={`series-${(i % 6) + 1}`}>
            <span class="chart-swatch" aria-hidden="true" />
            {name}
            {point && <b>{shortNumber(point.y)}</b>}
          </li>
        );
      })}
    </ul>
  );
}

function spokenSummary(series: readonly Series[]): string {
  return series
    .map(({ name, points }) => {
      const [first, last] = [points[0], points.at(-1)];
      return first && last ? `${name} from ${shortNumber(first.y)} to ${shortNumber(last.y)}` : `${name} has no values`;
    })
    .join("; ");
}
