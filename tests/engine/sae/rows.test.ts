import { describe, expect, it } from "vitest";
import { createRandom } from "../../../engine/runtime/random.ts";
import { geometricMedian } from "../../../engine/sae/geometric-median.ts";
import { createMixingBuffer } from "../../../engine/sae/mixing-buffer.ts";
import { createTokenFilter } from "../../../engine/sae/token-filter.ts";
import { normals } from "./support.ts";

const upTo = (count: number) => Int32Array.from({ length: count }, (_, i) => i);

describe("the geometric median", () => {
  it("of a symmetric cross is its centre, of a triangle the point that sees each side at 120°", () => {
    const cross = geometricMedian(Float32Array.of(3, 1, -1, 1, 1, 3, 1, -1), 2).median_D;
    expect(cross[0]).toBeCloseTo(1, 9);
    expect(cross[1]).toBeCloseTo(1, 9);
    // Right angle with legs of 1: the Fermat point lies at (1/2 − 1/(2√3)) on both axes.
    const [x, y] = geometricMedian(Float32Array.of(0, 0, 1, 0, 0, 1), 2, {
      tolerance: 1e-12,
      maxIterations: 1000,
    }).median_D;
    expect(x).toBeCloseTo(0.5 - 1 / (2 * Math.sqrt(3)), 6);
    expect(y).toBeCloseTo(x!, 9);
  });

  it("is at least as near to the rows as any point around it", () => {
    const rows = normals(200 * 6, 3);
    const { median_D } = geometricMedian(rows, 6, { tolerance: 1e-10 });
    const distances = (point: Float64Array) => {
      let sum = 0;
      for (let b = 0; b < 200; b++) sum += Math.hypot(...point.map((p, d) => p - rows[b * 6 + d]!));
      return sum;
    };
    const best = distances(median_D);
    for (let d = 0; d < 6; d++) {
      for (const step of [-1e-3, 1e-3]) expect(distances(median_D.with(d, median_D[d]! + step))).toBeGreaterThan(best);
    }
  });

  it("hardly moves when one row is enormous, where the mean is carried away", () => {
    const rows = normals(500 * 4, 9);
    const { median_D } = geometricMedian(rows, 4);
    rows.set([1e5, 1e5, 1e5, 1e5]);
    const moved = geometricMedian(rows, 4).median_D;
    expect(Math.hypot(...moved.map((m, d) => m - median_D[d]!))).toBeLessThan(0.02);
    expect(rows.reduce((sum, x) => sum + x, 0) / 2000).toBeGreaterThan(100);
  });

  it("stays on a row where most rows are, and of equal rows is that row", () => {
    const most = geometricMedian(Float32Array.of(2, 2, 2, 2, 2, 2, 9, 9), 2);
    expect([...most.median_D].map((m) => Math.round(m * 1e3) / 1e3)).toEqual([2, 2]);
    expect([...geometricMedian(Float32Array.of(5, 6, 5, 6), 2).median_D]).toEqual([5, 6]);
  });
});

describe("the token filter", () => {
  const rows = (norms: number[]) => Float32Array.from(norms.flatMap((norm) => [0.6 * norm, 0.8 * norm]));

  it("leaves out position 0 and rows above ten times the median norm", () => {
    const filter = createTokenFilter(2, { normFactor: 10, skipFirstPosition: true });
    const selected = filter.select(rows([500, 2, 2, 2, 19, 21, 2]), Int32Array.of(0, 1, 2, 3, 4, 5, 6));
    expect([...selected]).toEqual([1, 2, 3, 4, 6]);
    expect(filter.state()).toMatchObject({ kept: 5, droppedByNorm: 1, droppedByPosition: 1 });
    expect(filter.medianNorm()).toBeGreaterThan(2 / 1.012);
    expect(filter.medianNorm()).toBeLessThan(2 * 1.012);
  });

  it("keeps everything when told to", () => {
    const filter = createTokenFilter(2, { normFactor: Number.POSITIVE_INFINITY, skipFirstPosition: false });
    expect(filter.select(rows([1, 1, 1, 1e6]), upTo(4))).toHaveLength(4);
  });

  it("has the median of all rows so far, in whatever batches they came, within 1.1 %", () => {
    const norms = [...normals(3001, 4)].map((n) => Math.exp(n));
    const median = norms.toSorted((a, b) => a - b)[1500]!;
    const whole = createTokenFilter(2, { normFactor: 10, skipFirstPosition: false });
    whole.select(rows(norms), upTo(3001));
    const parts = createTokenFilter(2, { normFactor: 10, skipFirstPosition: false });
    for (let at = 0; at < 3001; at += 500)
      parts.select(rows(norms.slice(at, at + 500)), upTo(Math.min(500, 3001 - at)));
    expect(Math.abs(whole.medianNorm() / median - 1)).toBeLessThan(0.0111);
    expect(parts.medianNorm()).toBe(whole.medianNorm());
  });
});

describe("the mixing buffer", () => {
  const drawAll = (seed: number) => {
    const buffer = createMixingBuffer(1, 100, createRandom(seed));
    const drawn: number[] = [];
    const into = new Float32Array(20);
    const rows = Float32Array.from(upTo(1000));
    for (let from = 0; from < 1000; ) {
      from += buffer.add(rows, upTo(1000), from);
      buffer.draw(20, into);
      drawn.push(...into);
    }
    while (buffer.count > 0) {
      buffer.draw(20, into);
      drawn.push(...into);
    }
    return drawn;
  };

  it("gives every row out exactly once", () => {
    expect(drawAll(1).toSorted((a, b) => a - b)).toEqual([...upTo(1000)]);
  });

  it("mixes: the rows of a batch come from all over the buffer, in an order that the seed decides", () => {
    const drawn = drawAll(1);
    expect(drawAll(1)).toEqual(drawn);
    expect(drawAll(2)).not.toEqual(drawn);
    const spread = drawn.slice(200, 220);
    expect(Math.max(...spread) - Math.min(...spread)).toBeGreaterThan(50);
  });

  it("takes no more than it can hold and gives no more than it holds", () => {
    const buffer = createMixingBuffer(2, 3, createRandom(1));
    expect(buffer.add(new Float32Array(10), upTo(5), 0)).toBe(3);
    expect(buffer.isFull).toBe(true);
    expect(() => buffer.draw(4, new Float32Array(8))).toThrow(/holds 3 rows, 4 were asked for/);
  });
});
