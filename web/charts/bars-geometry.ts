// Horizontal bars with intervals, in the units of an SVG's viewBox.
import type { Mark } from "./line-geometry.ts";
import { niceTicks, shortNumber } from "./ticks.ts";

export interface Bar {
  readonly name: string;
  readonly value: number | null;
  readonly low?: number | undefined;
  readonly high?: number | undefined;
}

export interface BarsGeometry {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly foot: number;
  readonly bars: readonly {
    readonly name: string;
    readonly middle: number;
    readonly width: number;
    readonly whisker: readonly [number, number] | null;
    readonly words: string;
  }[];
  readonly marks: readonly Mark[];
}

const rowHeight = 26;
const letterWidth = 6.3;
const valueRoom = 52;

export function barsGeometry(bars: readonly Bar[], width = 560): BarsGeometry {
  const left = Math.min(0.4 * width, Math.ceil(Math.max(4, ...bars.map(({ name }) => name.length)) * letterWidth) + 12);
  const values = bars.flatMap(({ value, high }) => [value ?? 0, high ?? 0]);
  const ticks = niceTicks(0, Math.max(1e-9, ...values));
  const toX = (value: number) => left + (value / ticks.high) * (width - left - valueRoom);
  const foot = bars.length * rowHeight + 4;
  return {
    width,
    height: foot + 22,
    left,
    foot,
    bars: bars.map(({ name, value, low, high }, i) => ({
      name,
      middle: (i + 0.5) * rowHeight,
      width: value === null ? 0 : toX(value) - left,
      whisker: low === undefined || high === undefined ? null : [toX(low), toX(high)],
      words: value === null ? "–" : value.toFixed(value < 10 ? 2 : 1),
    })),
    marks: ticks.values.map((value) => ({ at: toX(value), label: shortNumber(value, ticks.step) })),
  };
}
