import { niceTicks, type Ticks } from "./axis.ts";
import { lineStyle, SERIES_CSS, SERIES_DARK, SERIES_DARK_CSS, SERIES_LIGHT } from "./series-colours.ts";
import { escapeXml, fitText, px, svgDocument, textWidthEm } from "./svg.ts";

export interface SweepPoint {
  /** null: the op has no strength */
  readonly strength: number | null;
  readonly goal: number;
  readonly interval: { readonly low: number; readonly high: number } | null;
  readonly perplexityRatio: number;
  readonly fluent: boolean;
  readonly isBest: boolean;
}

export interface SweepSeries {
  readonly name: string;
  readonly points: readonly SweepPoint[];
}

export interface SweepChart {
  readonly title: string;
  readonly subtitle: string;
  /** What a score of 1 is: "Han among letters". */
  readonly goal: string;
  readonly strengthUnit: string;
  readonly baseline: number;
  readonly perplexityLimit: number;
  readonly series: readonly SweepSeries[];
}

const LEFT = 74;
const WIDTH = 460;
const GOAL = { y: 84, height: 210 } as const;
const COST = { y: 330, height: 110 } as const;
const ROW = 20;
/** More lines than can be told apart say nothing: of the others the table knows. */
export const MAX_SERIES = 14;

/**
 * Score of the goal and perplexity over strength, one line per feature or vector, as a self-contained SVG picture. Hollow marks are
 * cells beyond a limit of fluency; the ringed one is the best.
 */
export function sweepChartSvg(chart: SweepChart): string {
  const series = chart.series.slice(0, MAX_SERIES);
  const places = placesOf(
    chart,
    series.flatMap(({ points }) => points),
  );
  const { x, goal, cost } = places;
  const names = series.map(({ name }) => fitText(name, 24));
  const legendX = LEFT + WIDTH + 34;
  const width = legendX + 34 + Math.max(80, ...names.map((name) => textWidthEm(name) * 12.5)) + 26;
  const height = Math.max(COST.y + COST.height + 66, GOAL.y + series.length * ROW + 24);
  const bottom = COST.y + COST.height;
  const unit = chart.strengthUnit ? `, ${chart.strengthUnit}` : "";
  const body = [
    `<text class="ink title" x="26" y="36">${escapeXml(fitText(chart.title, (width - 52) / 17))}</text>`,
    `<text class="muted subtitle" x="26" y="57">${escapeXml(fitText(chart.subtitle, (width - 52) / 12.5))}</text>`,
    ...scale(goal.ticks, goal.up, GOAL, chart.goal),
    ...scale(cost.ticks, cost.up, COST, "perplexity ratio"),
    reference(goal.up(chart.baseline), "without steering"),
    reference(cost.up(chart.perplexityLimit), "limit"),
    ...x.values.map(
      (value) =>
        `<text class="muted small number middle" x="${px(places.across(value))}" y="${bottom + 19}">${x.label(value)}</text>`,
    ),
    `<text class="muted small middle" x="${LEFT + WIDTH / 2}" y="${bottom + 42}">${escapeXml(`strength${unit}`)}</text>`,
    ...series.flatMap((one, i) => drawSeries(one, i, places)),
    ...names.map((name, i) => {
      const row = GOAL.y + 4 + i * ROW;
      return `<path ${lineStyle(i)} d="M${px(legendX)} ${px(row - 4)}h24"/><text class="ink label" x="${px(legendX + 34)}" y="${px(row)}">${escapeXml(name)}</text>`;
    }),
  ];
  const about = series.flatMap(({ name, points }) => points.map((point) => tooltip(name, point)));
  return svgDocument({
    ...{ width, height, title: chart.title, description: `${chart.subtitle} ${about.join(". ")}.`, body },
    css: `${SERIES_CSS}${fills(SERIES_LIGHT)}\n  .hollow{fill:#ffffff}.best{fill:none;stroke:#1c2733;stroke-width:1.8}.limit{fill:none;stroke:#8794a1;stroke-dasharray:5 4}`,
    darkCss: `${SERIES_DARK_CSS}${fills(SERIES_DARK)}.hollow{fill:#12181f}.best{stroke:#e8edf2}`,
  });
}

type Places = ReturnType<typeof placesOf>;

function placesOf(chart: SweepChart, points: readonly SweepPoint[]) {
  const x = niceTicks(...extent(points.map(({ strength }) => strength ?? 1)));
  const across = (strength: number) => LEFT + ((strength - x.low) / (x.high - x.low)) * WIDTH;
  const panel = (ticks: Ticks, { y, height }: Panel) => ({
    ticks,
    up: (value: number) => {
      const inside = Math.min(Math.max(value, ticks.low), ticks.high);
      return y + height * (1 - (inside - ticks.low) / (ticks.high - ticks.low));
    },
  });
  // Broken text has perplexities of thousands, and the limit is what matters: the axis ends soon above it.
  const worst = points.reduce(
    (most, { perplexityRatio }) => Math.max(most, perplexityRatio),
    chart.perplexityLimit * 1.25,
  );
  return {
    ...{ x, across },
    goal: panel(niceTicks(0, 1, 4), GOAL),
    cost: panel(niceTicks(0, Math.min(worst, chart.perplexityLimit * 2), 3), COST),
  };
}

interface Panel {
  readonly y: number;
  readonly height: number;
}

function extent(values: readonly number[]): [number, number] {
  return values.length === 0 ? [0, 1] : [Math.min(...values), Math.max(...values)];
}

function scale(ticks: Ticks, up: (value: number) => number, { y, height }: Panel, label: string): string[] {
  return [
    ...ticks.values.flatMap((value, i) => [
      `<path class="${i === 0 ? "axis" : "rule"}" d="M${LEFT} ${px(up(value))}h${WIDTH}"/>`,
      `<text class="muted small number end" x="${LEFT - 10}" y="${px(up(value) + 4)}">${ticks.label(value)}</text>`,
    ]),
    `<text class="muted small middle" transform="translate(20 ${y + height / 2}) rotate(-90)">${escapeXml(fitText(label, height / 11))}</text>`,
  ];
}

function reference(y: number, label: string): string {
  return `<path class="limit" d="M${LEFT} ${px(y)}h${WIDTH}"/><text class="muted small end" x="${LEFT + WIDTH}" y="${px(y - 5)}">${label}</text>`;
}

function drawSeries({ name, points }: SweepSeries, index: number, { across, goal, cost }: Places): string[] {
  const style = lineStyle(index);
  const x = (point: SweepPoint) => px(across(point.strength ?? 1));
  const line = (y: (point: SweepPoint) => number) =>
    points.length > 1 ? `<path ${style} d="M${points.map((one) => `${x(one)} ${px(y(one))}`).join("L")}"/>` : "";
  const marks = points.map((point) => {
    const { interval, fluent, isBest } = point;
    const y = px(goal.up(point.goal));
    const whisker = interval
      ? `<path ${style} opacity="0.5" d="M${x(point)} ${px(goal.up(interval.low))}V${px(goal.up(interval.high))}"/>`
      : "";
    const mark = (at: string) =>
      `<circle class="line c${index % SERIES_LIGHT.length} ${fluent ? "full" : "hollow"}" cx="${x(point)}" cy="${at}" r="3.6"/>`;
    const ring = isBest ? `<circle class="best" cx="${x(point)}" cy="${y}" r="8.5"/>` : "";
    return `<g><title>${escapeXml(tooltip(name, point))}</title>${whisker}${ring}${mark(y)}${mark(px(cost.up(point.perplexityRatio)))}</g>`;
  });
  return [line((point) => goal.up(point.goal)), line((point) => cost.up(point.perplexityRatio)), ...marks];
}

function tooltip(name: string, { strength, goal, perplexityRatio, fluent, isBest }: SweepPoint): string {
  const at = strength === null ? "" : ` at ${strength}`;
  const notes = `${fluent ? "" : ", beyond the limits"}${isBest ? ", best" : ""}`;
  return `${name}${at}: ${goal.toFixed(2)}, perplexity × ${perplexityRatio.toPrecision(3)}${notes}`;
}

function fills(colours: readonly string[]): string {
  return colours.map((colour, i) => `.c${i}.full{fill:${colour}}`).join("");
}
