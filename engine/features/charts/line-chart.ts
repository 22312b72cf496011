import { niceTicks, type Ticks } from "./axis.ts";
import { lineStyle, SERIES_CSS, SERIES_DARK_CSS } from "./series-colours.ts";
import { escapeXml, fitText, px, svgDocument, textWidthEm } from "./svg.ts";

export interface LineSeries {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface LineChart {
  readonly title: string;
  readonly subtitle: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly LineSeries[];
}

const PLOT = { x: 74, y: 84, width: 460, height: 260 } as const;
const ROW = 20;
/** Lines of a legend; beyond, the picture would be all legend. */
const MAX_NAMES = 28;

/** Lines over one axis as a self-contained SVG picture, with a legend that ends in each line's last value. Points that are not finite are gaps. */
export function lineChartSvg(chart: LineChart): string {
  const series = chart.series.map((one) => ({ ...one, points: one.points.filter(isDrawn) }));
  const all = series.flatMap(({ points }) => points);
  const x = niceTicks(...extent(all.map((point) => point.x)));
  const y = niceTicks(...extent(all.map((point) => point.y)));
  const names = series.slice(0, MAX_NAMES).map(({ name }) => fitText(name, 22));
  const nameWidth = Math.max(40, ...names.map((name) => textWidthEm(name) * 12.5));
  const legendX = PLOT.x + PLOT.width + 34;
  const valueX = legendX + 34 + nameWidth + 62;
  const width = Math.max(valueX + 26, 26 * 2 + textWidthEm(chart.subtitle) * 12.5);
  const height = Math.max(PLOT.y + PLOT.height + 66, PLOT.y + names.length * ROW + 24);
  const place = (point: { x: number; y: number }) => `${px(along(x, point.x))} ${px(up(y, point.y))}`;

  const body = [
    `<text class="ink title" x="26" y="36">${escapeXml(chart.title)}</text>`,
    `<text class="muted subtitle" x="26" y="57">${escapeXml(chart.subtitle)}</text>`,
    ...axes(chart, x, y),
  ];
  for (const [i, { name, points }] of series.entries()) {
    const last = points.at(-1);
    const end = last ? shortValue(last.y) : "–";
    const rowY = PLOT.y + 4 + i * ROW;
    const line = lineStyle(i);
    const path = points.length > 1 ? `<path ${line} d="M${points.map(place).join("L")}"/>` : "";
    const legend =
      i < MAX_NAMES
        ? `<path ${line} d="M${px(legendX)} ${px(rowY - 4)}h24"/><text class="ink label" x="${px(legendX + 34)}" y="${px(rowY)}">${escapeXml(names[i]!)}</text><text class="ink label number end" x="${px(valueX)}" y="${px(rowY)}">${end}</text>`
        : "";
    body.push(`<g><title>${escapeXml(`${name}: ends at ${end}`)}</title>${path}${legend}</g>`);
  }
  const ends = series.map(
    ({ name, points }) => `${name} ends at ${points.length ? shortValue(points.at(-1)!.y) : "–"}`,
  );
  return svgDocument({
    width,
    height,
    title: chart.title,
    description: `${chart.subtitle} ${ends.join(", ")}.`,
    css: SERIES_CSS,
    darkCss: SERIES_DARK_CSS,
    body,
  });
}

function isDrawn({ x, y }: { x: number; y: number }): boolean {
  return Number.isFinite(x) && Number.isFinite(y);
}

function extent(values: readonly number[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 1];
}

function along({ low, high }: Ticks, value: number): number {
  return PLOT.x + ((value - low) / (high - low)) * PLOT.width;
}

function up({ low, high }: Ticks, value: number): number {
  return PLOT.y + (1 - (value - low) / (high - low)) * PLOT.height;
}

function shortValue(value: number): string {
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

function axes(chart: LineChart, x: Ticks, y: Ticks): string[] {
  const bottom = PLOT.y + PLOT.height;
  return [
    ...y.values.flatMap((value, i) => [
      `<path class="${i === 0 ? "axis" : "rule"}" d="M${PLOT.x} ${px(up(y, value))}h${PLOT.width}"/>`,
      `<text class="muted small number end" x="${PLOT.x - 10}" y="${px(up(y, value) + 4)}">${y.label(value)}</text>`,
    ]),
    ...x.values.map(
      (value) =>
        `<text class="muted small number middle" x="${px(along(x, value))}" y="${bottom + 19}">${x.label(value)}</text>`,
    ),
    `<text class="muted small middle" x="${PLOT.x + PLOT.width / 2}" y="${bottom + 42}">${escapeXml(chart.xLabel)}</text>`,
    `<text class="muted small middle" transform="translate(20 ${PLOT.y + PLOT.height / 2}) rotate(-90)">${escapeXml(chart.yLabel)}</text>`,
  ];
}
