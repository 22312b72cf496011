// A histogram with every bar's numbers on hover and, in one sentence, for those who cannot see it.
import "./charts.css";
import { type Bins, histogramGeometry } from "./histogram-geometry.ts";
import { shortNumber } from "./ticks.ts";

interface HistogramProps {
  readonly title: string;
  readonly bins: Bins;
  /** What is counted, e.g. tokens. */
  readonly unit: string;
}

export function Histogram({ title, bins, unit }: HistogramProps) {
  const { frame, bars, xMarks } = histogramGeometry(bins);
  const total = bins.counts.reduce((sum, count) => sum + count, 0).toLocaleString("en");
  const spoken = `${title}: ${total} ${unit} from ${shortNumber(bins.edges[0] ?? 0)} to ${shortNumber(bins.edges.at(-1) ?? 0)}`;
  const foot = frame.height - frame.bottom;
  return (
    <figure class="chart">
      <figcaption class="chart-title">{title}</figcaption>
      <svg viewBox={`0 0 ${frame.width} ${frame.height}`} role="img" aria-label={spoken}>
        <g class="chart-bars">
          {bars.map(({ from, to, count, x, y, width, height }) => (
            <rect key={from} x={x} y={y} width={width} height={height} rx="1.5">
              <title>{`${shortNumber(from)} to ${shortNumber(to)}: ${count.toLocaleString("en")} ${unit}`}</title>
            </rect>
          ))}
        </g>
        <g class="chart-axes">
          <line class="chart-rule" x1={frame.left} x2={frame.width - frame.right} y1={foot} y2={foot} />
          {xMarks.map(({ at, label }) => (
            <text key={at} x={at} y={frame.height - 7} text-anchor="middle">
              {label}
            </text>
          ))}
        </g>
      </svg>
      <p class="chart-note">
        {total} {unit}; four bins to the octave, heights by the root of the count so that a rare tail shows.
      </p>
    </figure>
  );
}
