// What one gains against what it costs: points joined in the order given, beside a limit that they should stay below.
import { Axes } from "./line-chart.tsx";
import "./charts.css";
import { lineGeometry, type Point } from "./line-geometry.ts";

export interface TradeOffPoint extends Point {
  readonly label: string;
  /** Filled when it stays within the limit. */
  readonly good: boolean;
}

interface TradeOffSeries {
  readonly name: string;
  readonly points: readonly TradeOffPoint[];
}

interface TradeOffChartProps {
  readonly title: string;
  readonly xTitle: string;
  readonly series: readonly TradeOffSeries[];
  /** Of x. */
  readonly limit: number;
  readonly limitTitle: string;
}

export function TradeOffChart({ title, xTitle, series, limit, limitTitle }: TradeOffChartProps) {
  const geometry = lineGeometry(series, { spanX: [0, limit * 1.1], spanY: [0, 1] });
  const { frame } = geometry;
  const at = geometry.toX(limit);
  const spoken = series.map(({ name, points }) => `${name}: ${points.map(spokenPoint).join(", ")}`).join("; ");
  return (
    <figure class="chart">
      <figcaption class="chart-title">{title}</figcaption>
      <svg viewBox={`0 0 ${frame.width} ${frame.height}`} role="img" aria-label={`${title}. ${spoken}`}>
        <rect
          class="chart-beyond"
          x={at}
          y={frame.top}
          width={Math.max(0, frame.width - frame.right - at)}
          height={frame.height - frame.top - frame.bottom}
        />
        <Axes geometry={geometry} xTitle={xTitle} />
        <text class="chart-limit" x={at - 5} y={frame.top + 12} text-anchor="end">
          {limitTitle}
        </text>
        {geometry.lines.map(({ name, path }, i) => (
          <g key={name} class={`series-${(i % 6) + 1}`}>
            <path class="chart-line thin" d={path} />
            {series[i]?.points.map((point) => (
              <g key={point.label}>
                <circle
                  class={point.good ? "chart-dot" : "chart-ring"}
                  cx={geometry.toX(point.x)}
                  cy={geometry.toY(point.y)}
                  r="4.5"
                >
                  <title>{`${name}, ${spokenPoint(point)}`}</title>
                </circle>
                <text class="chart-point-label" x={geometry.toX(point.x) + 7} y={geometry.toY(point.y) + 14}>
                  {point.label}
                </text>
              </g>
            ))}
          </g>
        ))}
      </svg>
    </figure>
  );
}

function spokenPoint({ x, y, label }: TradeOffPoint): string {
  return `strength ${label}: goal ${y.toFixed(2)} at ${x.toPrecision(2)} times the perplexity`;
}
