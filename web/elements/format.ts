// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const few = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 1234.5 → "1,235"; below 100 three significant digits. */
export const formatCount = (value: number): string =>
  Math.abs(value) >= 100 || Number.isInteger(value) ? whole.format(value) : few.format(value);

/** 0.12345 → "0.123"; null → "–" */
export const formatFigure = (value: number | null | undefined, digits = 3): string =>
  value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);

/** 0.1234 → "12.3 %" */
export const formatShare = (value: number | null | undefined, digits = 1): string =>
  value === null || value === undefined || !Number.isFinite(value) ? "–" : `${(value * 100).toFixed(digits)} %`;

export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${few.format(bytes / 1000 ** power)} ${units[power]}`;
}

/** 75 → "1 min 15 s" */
export function formatSeconds(seconds: number): string {
  if (seconds < 1) return `${Math.round(1000 * Math.max(0, seconds))} ms`;
  if (seconds < 60) return `${seconds < 10 ? few.format(seconds) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "2026-11-22T12:00:00.000Z" → "22 Nov 2026, 12:00:00", in the reader's time zone */
export const formatTime = (timestamp: string): string =>
  new Date(timestamp).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
