import type { CoverageCurve } from "../coverage.ts";
import { escapeXml, fitText, px, svgDocument, textWidthEm } from "./svg.ts";

export interface CoverageSeries {
  readonly name: string;
  /** N */
  readonly samples: number;
  readonly curve: CoverageCurve;
  /** Area under the curve; null without features. */
  readonly auc: number | null;
}

// Okabe and Ito's colours without yellow (too pale on paper) and black (the ink): distinct with every kind of colour vision.
const COLOURS_LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b98900", "#56a8d8", "#6b5bb5"] as const;
const COLOURS_DARK = ["#4da3dc", "#f08a45", "#2fc79a", "#e59cc5", "#e6b422", "#8fd0f5", "#a99bea"] as const;
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 5", "1 5", "5 2 1 2 1 2"] as const;

const PLOT = { x: 68, y: 84, width: 460, height: 330 } as const;
const ROW = 20;

/**
 * Expected coverage over the share of samples drawn, one line per benchmark, as a self-contained SVG picture.
 *
 * A line that rises early belongs to a benchmark whose first samples already activate most of its features. Lines are told apart
 * by colour and, beyond seven, by dashes as well; the legend is ordered by the area under the curve, largest first.
 */
export function coverageChartSvg(title: string, subtitle: string, series: readonly CoverageSeries[]): string {
  const drawn = series
    .map((one, i) => ({
      ...one,
      colour: i % COLOURS_LIGHT.length,
      dash: DASHES[Math.floor(i / COLOURS_LIGHT.length) % DASHES.length]!,
    }))
    .sort((a, b) => (b.auc ?? -1) - (a.auc ?? -1));
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
    const line = `class="line c${one.colour}"${one.dash ? ` stroke-dasharray="${one.dash}"` : ""}`;
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
  const colours = (list: readonly string[]) => list.map((colour, i) => `.c${i}{stroke:${colour}}`).join("");
  const areas = drawn
    .map((one) => `${one.name} ${one.auc === null ? "without features" : one.auc.toFixed(3)}`)
    .join(", ");
  return svgDocument({
    width,
    height,
    title,
    description: `${subtitle} Areas under the curves: ${areas}.`,
    css: `\n  .line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}.rule,.axis{fill:none;stroke-width:1}\n  ${colours(COLOURS_LIGHT)}`,
    darkCss: colours(COLOURS_DARK),
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
