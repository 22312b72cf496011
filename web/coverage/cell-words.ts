import { formatShare } from "../elements/format.ts";
import type { Interval, Measure } from "./analysis-data.ts";

/** "sums covers 93.1 % of code's features (95 %: 90.2 to 95.0)" */
export function cellWords(
  measure: Measure,
  row: string,
  column: string,
  value: number | null,
  interval: Interval,
): string {
  if (value === null) return `${row} activates no feature`;
  const between =
    interval === null ? "" : ` (95 % interval ${formatShare(interval.low)} to ${formatShare(interval.high)})`;
  const share = formatShare(value);
  if (measure === "overlap") return `${column} covers ${share} of the features of ${row}${between}`;
  if (measure === "jaccard") return `${row} and ${column} share ${share} of all their features${between}`;
  return `${row} and ${column} share ${share} of the smaller one's features${between}`;
}
