import { niceTicks } from "./axis.ts";
import { escapeXml, px, svgDocument, textWidthEm } from "./svg.ts";

export interface Bar {
  /** Under the bar; empty for none. */
  readonly label: string;
  readonly value: number;
  /** What the bar says, for its tooltip. */
  readonly about: string;
  /** Drawn apart from the others, which form a scale. */
  readonly apart?: true;
}

export interface BarChart {
  readonly title: string;
  readonly subtitle: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly bars: readonly Bar[];
}

const PLOT = { x: 74, y: 84, width: 460, height: 200 } as const;
const GAP = 14;

/** Counts as bars from zero: a self-contained SVG picture. */
export function barChartSvg({ title, subtitle, xLabel, yLabel, bars }: BarChart): string {
  const y = niceTicks(0, Math.max(1, ...bars.map(({ value }) => value)), 4);
  const gaps = bars.filter(({ apart }) => apart).length * GAP;
  const step = (PLOT.width - gaps) / Math.max(1, bars.length);
  const bottom = PLOT.y + PLOT.height;
  const top = (value: number) => bottom - (value / y.high) * PLOT.height;
  const body = [
    `<text class="ink title" x="26" y="36">${escapeXml(title)}</text>`,
    `<text class="muted subtitle" x="26" y="57">${escapeXml(subtitle)}</text>`,
    ...y.values.flatMap((value, i) => [
      `<path class="${i === 0 ? "axis" : "rule"}" d="M${PLOT.x} ${px(top(value))}h${PLOT.width}"/>`,
      `<text class="muted small number end" x="${PLOT.x - 10}" y="${px(top(value) + 4)}">${y.label(value)}</text>`,
    ]),
  ];
  let x: number = PLOT.x;
  for (const { label, value, about, apart } of bars) {
    const bar = `<rect class="${apart ? "bar apart" : "bar"}" x="${px(x + 1)}" y="${px(top(value))}" width="${px(Math.max(1, step - 2))}" height="${px(bottom - top(value))}"/>`;
    const text = `<text class="muted small number middle" x="${px(x + step / 2)}" y="${bottom + 19}">${escapeXml(label)}</text>`;
    body.push(`<g><title>${escapeXml(about)}</title>${bar}${label ? text : ""}</g>`);
    x += step + (apart ? GAP : 0);
  }
  body.push(
    `<text class="muted small middle" x="${PLOT.x + PLOT.width / 2}" y="${bottom + 42}">${escapeXml(xLabel)}</text>`,
    `<text class="muted small middle" transform="translate(20 ${PLOT.y + PLOT.height / 2}) rotate(-90)">${escapeXml(yLabel)}</text>`,
  );
  return svgDocument({
    width: Math.max(PLOT.x + PLOT.width + 26, 26 * 2 + textWidthEm(subtitle) * 12.5),
    height: bottom + 60,
    title,
    description: `${subtitle} ${bars.map(({ about }) => about).join(". ")}.`,
    css: "\n  .bar{fill:#0072b2}.apart{fill:#8794a1}.rule,.axis{fill:none;stroke-width:1}",
    darkCss: ".bar{fill:#4da3dc}.apart{fill:#6b7885}",
    body,
  });
}
