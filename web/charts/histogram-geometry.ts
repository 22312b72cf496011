// Bars of a histogram in the units of an SVG's viewBox. Its edges are spaced by octaves: every bin is as wide as the next.
import type { Frame, Mark } from "./line-geometry.ts";
import { shortNumber } from "./ticks.ts";

export interface Bins {
  /** Ascending; one more than counts. */
  readonly edges: readonly number[];
  readonly counts: readonly number[];
}

export interface Bar {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface HistogramGeometry {
  readonly frame: Frame;
  readonly bars: readonly Bar[];
  readonly xMarks: readonly Mark[];
}

const histogramFrame: Frame = { width: 340, height: 130, left: 8, right: 8, top: 6, bottom: 22 };
const mostMarks = 7;

/** Heights by the root of the count: a tail of three among thousands can still be seen. Counts of 0 have no bar. */
export function histogramGeometry({ edges, counts }: Bins, frame: Frame = histogramFrame): HistogramGeometry {
  const most = counts.reduce((largest, count) => Math.max(largest, count), 0);
  const across = (frame.width - frame.left - frame.right) / Math.max(1, counts.length);
  const down = frame.height - frame.top - frame.bottom;
  const bars = counts.flatMap((count, i) => {
    if (count <= 0) return [];
    const height = Math.max(1, Math.sqrt(count / most) * down);
    const [from = 0, to = 0] = [edges[i], edges[i + 1]];
    const x = frame.left + i * across;
    return [{ from, to, count, x, y: frame.top + down - height, width: Math.max(1, across - 1.5), height }];
  });
  const every = Math.max(1, Math.ceil(edges.length / mostMarks));
  const xMarks = edges.flatMap((edge, i) => {
    return i % every === 0 ? [{ at: frame.left + i * across, label: shortNumber(Number(edge.toPrecision(2))) }] : [];
  });
  return { frame, bars, xMarks };
}
