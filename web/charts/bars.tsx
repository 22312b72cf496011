import type { Ref } from "preact";
import { narrow } from "../shell/viewport.ts";
import { type Bar, barsGeometry } from "./bars-geometry.ts";
import "./charts.css";
import "./bars.css";
import { shortName } from "./heat-map-geometry.ts";

interface Props {
  readonly label: string;
  readonly bars: readonly Bar[];
  readonly drawing: Ref<SVGSVGElement>;
}

export function Bars({ label, bars, drawing }: Props) {
  const {
    width,
    height,
    left,
    foot,
    bars: drawn,
    marks,
  } = barsGeometry(
    bars.map((bar) => ({ ...bar, name: shortName(bar.name) })),
    narrow.value ? 330 : 560,
  );
  const spoken = drawn.map(({ name, words }) => `${name} ${words}`).join(", ");
  return (
    <svg ref={drawing} class="bars" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={`${label}: ${spoken}`}>
      <g class="chart-axes">
        {marks.map(({ at, label: number }) => (
          <g key={number}>
            <line class="chart-rule" x1={at} x2={at} y1={0} y2={foot} />
            <text x={at} y={foot + 15} text-anchor="middle">
              {number}
            </text>
          </g>
        ))}
      </g>
      {drawn.map(({ name, middle, width: length, whisker, words }) => (
        <g key={middle}>
          <text class="bar-name" x={left - 8} y={middle + 4} text-anchor="end">
            {name}
          </text>
          <rect class="bar" x={left} y={middle - 8} width={length} height={16} rx="2" />
          {whisker && (
            <path
              class="bar-whisker"
              d={`M${whisker[0]} ${middle - 4}v8M${whisker[0]} ${middle}H${whisker[1]}M${whisker[1]} ${middle - 4}v8`}
            />
          )}
          <text class="bar-value" x={width} y={middle + 4} text-anchor="end">
            {words}
          </text>
        </g>
      ))}
    </svg>
  );
}
