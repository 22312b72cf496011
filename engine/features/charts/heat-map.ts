import { SCALE_STEPS, scaleCss, scaleStep } from "./colour-scale.ts";
import { escapeXml, fitText, px, svgDocument, textWidthEm } from "./svg.ts";

export interface HeatMap {
  readonly title: string;
  readonly subtitle: string;
  readonly labels: readonly string[];
  /** Row-major, labels × labels, shares in [0, 1]; NaN is drawn as an empty cell. */
  readonly values: Float64Array;
  /** Permutation of the labels, as from `clusterBenchmarks`; the given order when absent. */
  readonly order?: readonly number[];
  /** What a cell says, for its tooltip and for readers who do not see the picture. */
  describe(row: number, column: number, value: number): string;
  /** Words for the ends of the scale. */
  readonly scale: { readonly low: string; readonly high: string };
  /** Further numbers of each label, written to the right of its row. */
  readonly columns?: readonly { readonly title: string; readonly values: readonly string[] }[];
}

const LABEL_PX = 12.5;
const MARGIN = 26;
const MAX_LABEL_EM = 17;

/**
 * A square matrix as a self-contained SVG picture: a colour and a number in every cell, labels on two sides, a scale.
 *
 * @throws RangeError when values or order do not fit the labels
 */
export function heatMapSvg(map: HeatMap): string {
  const size = map.labels.length;
  if (map.values.length !== size * size) {
    throw new RangeError(`values: expected ${size * size} for ${size} labels, got ${map.values.length}`);
  }
  const order = map.order ?? map.labels.map((_, i) => i);
  if (order.length !== size || new Set(order).size !== size || order.some((i) => !(i >= 0 && i < size))) {
    throw new RangeError("order: expected a permutation of the labels");
  }

  const cell = cellSize(size);
  const labels = map.labels.map((label) => fitText(label, MAX_LABEL_EM));
  const labelWidth = Math.max(40, ...labels.map((label) => textWidthEm(label) * LABEL_PX));
  // Column labels stand at 45°, so they need sin 45° of their length above and of the last one to the right.
  const slanted = labelWidth * Math.SQRT1_2;
  const gridX = MARGIN + labelWidth + 12;
  const gridY = 76 + slanted + 14;
  const gridSize = size * cell;
  const notes = (map.columns ?? []).map((column) => ({
    ...column,
    width: 18 + LABEL_PX * Math.max(...[column.title, ...column.values].map(textWidthEm)),
  }));
  const notesWidth = notes.reduce((sum, note) => sum + note.width, 0);
  const titleWidth = Math.max(textWidthEm(map.title) * 17 * 1.08, textWidthEm(map.subtitle) * LABEL_PX);
  const width = Math.max(gridX + gridSize + Math.max(notesWidth + 8, slanted) + MARGIN, titleWidth + 2 * MARGIN, 340);
  const height = gridY + gridSize + 62;

  const body = [
    `<text class="ink title" x="${MARGIN}" y="36">${escapeXml(map.title)}</text>`,
    `<text class="muted subtitle" x="${MARGIN}" y="57">${escapeXml(map.subtitle)}</text>`,
  ];
  for (const [at, label] of order.entries()) {
    const middle = at * cell + cell / 2;
    const text = escapeXml(labels[label]!);
    const x = gridX + middle + 3;
    const y = gridY - 9;
    body.push(
      `<text class="ink label end" x="${px(gridX - 10)}" y="${px(gridY + middle + 4.4)}">${text}</text>`,
      `<text class="ink label" transform="translate(${px(x)} ${px(y)}) rotate(-45)">${text}</text>`,
    );
  }
  for (const [atRow, row] of order.entries()) {
    for (const [atColumn, column] of order.entries()) {
      const value = map.values[row * size + column]!;
      body.push(
        cellSvg(gridX + atColumn * cell, gridY + atRow * cell, cell, value, row === column, () =>
          map.describe(row, column, value),
        ),
      );
    }
  }
  let noteX = gridX + gridSize + 8;
  for (const note of notes) {
    noteX += note.width;
    // At this height the slanted labels are still over their own columns.
    body.push(`<text class="muted small end" x="${px(noteX)}" y="${px(gridY - 9)}">${escapeXml(note.title)}</text>`);
    for (const [at, label] of order.entries()) {
      const y = px(gridY + at * cell + cell / 2 + 4.4);
      body.push(
        `<text class="ink label number end" x="${px(noteX)}" y="${y}">${escapeXml(note.values[label] ?? "")}</text>`,
      );
    }
  }
  body.push(...scaleSvg(gridX, gridY + gridSize + 24, map.scale));

  return svgDocument({
    width,
    height,
    title: map.title,
    description: `${map.subtitle} ${describeAll(map, order)}`,
    css: `\n  .grid{stroke-width:1.5}.s,.grid{stroke:#ffffff}.self{fill:#e9edf1}.none{fill:none;stroke:#c8d0d8;stroke-dasharray:3 3}\n  ${scaleCss("light")}`,
    darkCss: `.s,.grid{stroke:#12181f}.self{fill:#222c36}.none{stroke:#3a4652}${scaleCss("dark")}`,
    body,
  });
}

function cellSize(size: number): number {
  if (size <= 12) return 48;
  if (size <= 20) return 40;
  return size <= 32 ? 32 : 26;
}

function cellSvg(x: number, y: number, cell: number, value: number, isSelf: boolean, describe: () => string): string {
  const box = `x="${px(x + 1)}" y="${px(y + 1)}" width="${cell - 2}" height="${cell - 2}" rx="${cell > 30 ? 4 : 2}"`;
  if (Number.isNaN(value)) return `<g><title>${escapeXml(describe())}</title><rect class="none" ${box}/></g>`;
  const step = scaleStep(value);
  // A benchmark against itself says nothing; drawn in full strength the diagonal would outshine the rest.
  const [fill, ink] = isSelf ? ["self", "muted"] : [`s${step}`, `t${step}`];
  const fontSize = cell >= 40 ? 12.5 : cell * 0.36;
  const text = `<text class="${ink} number middle" font-size="${px(fontSize)}" x="${px(x + cell / 2)}" y="${px(y + cell / 2 + fontSize * 0.36)}">${cellText(value, cell)}</text>`;
  return `<g><title>${escapeXml(describe())}</title><rect class="${fill}" ${box}/>${text}</g>`;
}

function cellText(value: number, cell: number): string {
  const text = value.toFixed(2);
  // 0.995 would round to 1.00 and hide that something is missing.
  const honest = value < 1 && text === "1.00" ? "0.99" : text;
  return cell >= 40 ? honest : honest.replace(/^0/, "").replace("1.00", "1");
}

function scaleSvg(x: number, y: number, words: { low: string; high: string }): string[] {
  const step = 9;
  const low = escapeXml(words.low);
  const lowWidth = textWidthEm(words.low) * 11;
  const start = Math.max(MARGIN + lowWidth + 8, x + 1);
  const boxes = Array.from(
    { length: SCALE_STEPS },
    (_, i) => `<rect class="s${i}" x="${px(start + i * step)}" y="${px(y)}" width="${step + 0.5}" height="11"/>`,
  );
  const end = start + SCALE_STEPS * step;
  return [
    `<text class="muted small end" x="${px(start - 8)}" y="${px(y + 9.5)}">${low}</text>`,
    ...boxes,
    `<text class="muted small" x="${px(end + 8)}" y="${px(y + 9.5)}">${escapeXml(words.high)}</text>`,
  ];
}

/** The picture in words: its largest values off the diagonal. The complete numbers are in the CSV beside it. */
function describeAll(map: HeatMap, order: readonly number[]): string {
  const size = map.labels.length;
  const cells = order
    .flatMap((row) => order.map((column) => ({ row, column, value: map.values[row * size + column]! })))
    .filter(({ row, column, value }) => row !== column && !Number.isNaN(value))
    .sort((a, b) => b.value - a.value);
  const largest = cells.slice(0, 3).map(({ row, column, value }) => map.describe(row, column, value));
  return `${size} by ${size} cells. ${largest.length > 0 ? `The largest: ${largest.join("; ")}.` : ""}`;
}
