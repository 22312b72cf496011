// Lines over two axes as paths and marks in the units of an SVG's viewBox; no drawing, so that it can be checked.
import { niceTicks, shortNumber, type Ticks } from "./ticks.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface Mark {
  readonly at: number;
  readonly label: string;
}

export interface LineGeometry {
  readonly frame: Frame;
  readonly lines: readonly { readonly name: string; readonly path: string; readonly last: Point | null }[];
  readonly xMarks: readonly Mark[];
  readonly yMarks: readonly Mark[];
  toX(value: number): number;
  toY(value: number): number;
}

export const wideFrame: Frame = { width: 560, height: 240, left: 52, right: 14, top: 12, bottom: 30 };
export const narrowFrame: Frame = { ...wideFrame, width: 330, height: 210, left: 44 };

interface Options {
  readonly frame?: Frame;
  readonly scale?: "linear" | "log";
  /** Values that the y axis must span whatever the lines do. */
  readonly spanY?: readonly number[];
  readonly spanX?: readonly number[];
}

/** On a logarithmic axis points at 0 or below have no place and are left out. */
export function lineGeometry(series: readonly Series[], options: Options = {}): LineGeometry {
  const { frame = wideFrame, scale = "linear", spanY = [], spanX = [] } = options;
  const shown = (y: number) => Number.isFinite(y) && (scale === "linear" || y > 0);
  const kept = series.map(({ name, points }) => ({
    name,
    points: points.filter(({ x, y }) => Number.isFinite(x) && shown(y)),
  }));
  const all = kept.flatMap(({ points }) => points);
  const xTicks = ticksOf([...all.map(({ x }) => x), ...spanX]);
  const toScale = scale === "log" ? Math.log10 : (value: number) => value;
  const yTicks = ticksOf([...all.map(({ y }) => y), ...spanY.filter(shown)].map(toScale));
  const across = frame.width - frame.left - frame.right;
  const down = frame.height - frame.top - frame.bottom;
  const toX = (value: number) => frame.left + ((value - xTicks.low) / (xTicks.high - xTicks.low)) * across;
  const toY = (value: number) => frame.top + (1 - (toScale(value) - yTicks.low) / (yTicks.high - yTicks.low)) * down;
  const place = ({ x, y }: Point): Point => ({ x: toX(x), y: toY(y) });
  return {
    frame,
    lines: kept.map(({ name, points }) => {
      const last = points.at(-1);
      return { name, path: pathOf(points.map(place)), last: last ? place(last) : null };
    }),
    xMarks: xTicks.values.map((value) => ({ at: toX(value), label: shortNumber(value, xTicks.step) })),
    yMarks: yTicks.values.map((value) => {
      const y = scale === "log" ? 10 ** value : value;
      return { at: toY(y), label: shortNumber(y, scale === "log" ? y : yTicks.step) };
    }),
    toX,
    toY,
  };
}

function ticksOf(values: readonly number[]): Ticks {
  // Spread arguments have a limit that long runs reach.
  const low = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const high = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  return Number.isFinite(low) ? niceTicks(low, high) : niceTicks(0, 1);
}

function pathOf(points: readonly Point[]): string {
  return points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** The x of the data nearest to a place on the drawing, for what is said about it. */
export function nearestX(series: readonly Series[], geometry: LineGeometry, at: number): number | null {
  let nearest: number | null = null;
  for (const { points } of series) {
    for (const { x } of points) {
      if (nearest === null || Math.abs(geometry.toX(x) - at) < Math.abs(geometry.toX(nearest) - at)) nearest = x;
    }
  }
  return nearest;
}
