/** Round numbers that an axis is marked at. */
export interface Ticks {
  readonly values: readonly number[];
  readonly low: number;
  readonly high: number;
  label(value: number): string;
}

/** Zero alone is the foot of its axis: counts have nothing below. */
function around(value: number): [number, number] {
  const half = Math.abs(value) / 2;
  return value === 0 ? [0, 1] : [value - half, value + half];
}

const STEPS = [1, 2, 2.5, 5, 10];

/** About `wanted` marks that span the numbers; the same number twice gets room on both sides. */
export function niceTicks(low: number, high: number, wanted = 5): Ticks {
  const [from, to] = high > low ? [low, high] : around(low);
  const rough = (to - from) / wanted;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = decade * STEPS.find((one) => one * decade >= rough * (1 - 1e-9))!;
  const first = Math.floor(from / step + 1e-9);
  const last = Math.ceil(to / step - 1e-9);
  const values = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { values, low: first * step, high: last * step, label: (value) => shortNumber(value, step) };
}

/** 0.25, 3,000, 1.5 M: as many digits as a step needs to show. */
export function shortNumber(value: number, step = value): string {
  for (const [size, unit] of [[1e9, " G"] as const, [1e6, " M"] as const]) {
    if (Math.abs(value) >= size) return `${trimmed(value / size, step / size)}${unit}`;
  }
  return trimmed(value, step);
}

function trimmed(value: number, step: number): string {
  const digits = step === 0 ? 0 : Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(Math.abs(step)))));
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}
