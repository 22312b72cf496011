// Round numbers for an axis, and numbers as people read them.
export interface Ticks {
  readonly values: readonly number[];
  readonly low: number;
  readonly high: number;
  readonly step: number;
}

const steps = [1, 2, 2.5, 5, 10];

/** Differences below it have no decade in float64; such beside their numbers are rounding. */
const tiny = 1e-280;
const rounding = 1e-12;

function roomAround(value: number): readonly [number, number] {
  const half = Math.abs(value) / 2;
  return half > tiny ? [value - half, value + half] : [0, 1];
}

/** About `wanted` marks that span the numbers; a single number gets room on both sides. */
export function niceTicks(low: number, high: number, wanted = 4): Ticks {
  const [from, to] =
    high - low > Math.max(tiny, rounding * Math.max(Math.abs(low), Math.abs(high))) ? [low, high] : roomAround(low);
  const rough = (to - from) / wanted;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = decade * (steps.find((one) => one * decade >= rough * (1 - 1e-9)) ?? 10);
  const first = Math.floor(from / step + 1e-9);
  const last = Math.ceil(to / step - 1e-9);
  const values = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { values, low: first * step, high: last * step, step };
}

/** 0.25, 3,000, 1.5 M: as many digits as a difference of `step` needs. */
export function shortNumber(value: number, step = value): string {
  const [size, unit] = Math.abs(value) >= 1e9 ? [1e9, " G"] : Math.abs(value) >= 1e6 ? [1e6, " M"] : [1, ""];
  const scaled = Math.abs(step / size);
  const digits = scaled === 0 ? 0 : Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(scaled))));
  return (value / size).toLocaleString("en", { maximumFractionDigits: digits }) + unit;
}

/** A share as a percentage that keeps two digits however small it is. */
export function percent(share: number): string {
  const value = share * 100;
  if (value === 0) return "0 %";
  if (Math.abs(value) < 0.001) return "< 0.001 %";
  return `${Math.abs(value) >= 10 ? value.toFixed(0) : Number(value.toPrecision(2))} %`;
}
