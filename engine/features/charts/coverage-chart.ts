import type { CoverageCurve } from "../coverage.ts";
import { lineStyle, SERIES_CSS, SERIES_DARK_CSS } from "./series-colours.ts";
import { escapeXml, fitText, px, svgDocument, textWidthEm } from "./svg.ts";

export interface CoverageSeries {
  readonly name: string;
  /** N */
  readonly samples: number;
  readonly curve: CoverageCurve;
  /** Area under the curve; null without features. */
  readonly auc: number | null;
}

const PLOT = { x: 68, y: 84, width: 460, height: 330 } as const;
const ROW = 20;

/**
 * Expected coverage over the share of samples drawn, one line per benchmark, as a self-contained SVG picture.
 *
 * A line that rises early belongs to a benchmark whose first samples already activate most of its features. Lines are told apart
 * by colour and, beyond seven, by dashes as well; the legend is ordered by the area under the curve, largest first.
 */
export function coverageChartSvg(title: string, subtitle: string, series: readonly CoverageSeries[]): string {
  const drawn = series.map((one, i) => ({ ...one, line: lineStyle(i) })).sort((a, b) => (b.auc ?? -1) - (a.auc ?? -1));
  const names = drawn.map((one) => fitText(one.name, 20));
  const nameWidth = Math.max(60, ...names.map((name) => textWidthEm(name) * 12.5));
  const legendX = PLOT.x + PLOT.width + 34;
  const aucX = legendX + 34 + nameWidth + 52;
  const width = Math.max(aucX + 28, 26 * 2 + textWidthEm(subtitle) * 12.5);
  const height = Math.max(PLOT.y + PLOT.height + 66, PLOT.y + 24 + drawn.length * ROW + 24);

  const body = [
    `<text class="ink title" x="26" y="36">${escapeXml(title)}</text>`,
    `<text class="muted subtitle" x="26" y="57">${escapeXml(subtitle)}</text>`,
    ...axes(),
    `<text class="muted small" x="${px(legendX)}" y="${PLOT.y + 4}">benchmark</text>`,
    `<text class="muted small end" x="${px(aucX)}" y="${PLOT.y + 4}">area</text>`,
  ];
  for (const [i, one] of drawn.entries()) {
    const { line } = one;
    const area = one.auc === null ? "–" : one.auc.toFixed(3);
    const y = PLOT.y + 24 + i * ROW;
    const about = `${one.name}: ${one.samples} samples, area under the curve ${area}`;
    body.push(
      `<g><title>${escapeXml(about)}</title>${one.curve.samples.length > 0 ? `<path ${line} d="${path(one)}"/>` : ""}`,
      `<path ${line} d="M${px(legendX)} ${px(y - 4)}h24"/>`,
      `<text class="ink label" x="${px(legendX + 34)}" y="${px(y)}">${escapeXml(names[i]!)}</text>`,
      `<text class="ink label number end" x="${px(aucX)}" y="${px(y)}">${area}</text></g>`,
    );
  }
  const areas = drawn
    .map((one) => `${one.name} ${one.auc === null ? "without features" : one.auc.toFixed(3)}`)
    .join(", ");
  return svgDocument({
    width,
    height,
    title,
    description: `${subtitle} Areas under the curves: ${areas}.`,
    css: SERIES_CSS,
    darkCss: SERIES_DARK_CSS,
    body,
  });
}

function axes(): string[] {
  const parts: string[] = [];
  for (let tick = 0; tick <= 4; tick++) {
    const share = tick / 4;
    const x = PLOT.x + share * PLOT.width;
    const y = PLOT.y + (1 - share) * PLOT.height;
    parts.push(
      `<path class="${tick === 0 ? "axis" : "rule"}" d="M${PLOT.x} ${px(y)}h${PLOT.width}"/>`,
      `<text class="muted small number end" x="${PLOT.x - 10}" y="${px(y + 4)}">${share * 100} %</text>`,
      `<text class="muted small number middle" x="${px(x)}" y="${PLOT.y + PLOT.height + 19}">${share * 100} %</text>`,
    );
  }
  const below = PLOT.y + PLOT.height + 42;
  parts.push(
    `<text class="muted small middle" x="${PLOT.x + PLOT.width / 2}" y="${below}">share of the samples drawn at random</text>`,
    `<text class="muted small middle" transform="translate(22 ${PLOT.y + PLOT.height / 2}) rotate(-90)">expected share of the benchmark's features</text>`,
  );
  return parts;
}

function path({ curve, samples }: CoverageSeries): string {
  const points = curve.samples.map((drawn, i) => {
    const x = PLOT.x + (drawn / samples) * PLOT.width;
    const y = PLOT.y + (1 - curve.coverage[i]!) * PLOT.height;
    return `${px(x)} ${px(y)}`;
  });
  // No samples, no features: every curve starts at the origin.
  return `M${[`${PLOT.x} ${PLOT.y + PLOT.height}`, ...points].join("L")}`;
}
