// The overlap matrix of benchmarks as text: one row a benchmark, shaded by how much of it the column's benchmark covers.

import { bold, dim, line, shade } from "./terminal.ts";

export interface BenchmarkReport {
  readonly benchmarks: readonly {
    readonly name: string;
    readonly samples: number;
    readonly features: number;
    readonly redundancy: number | null;
  }[];
  readonly overlap: readonly (readonly (number | null)[])[];
}

export function printHeatMap({ benchmarks, overlap }: BenchmarkReport): void {
  const width = Math.max(...benchmarks.map(({ name }) => name.length));
  const label = (index: number) => String.fromCharCode(97 + index);
  const header = benchmarks.map((_, index) => ` ${label(index).padStart(2)} `).join("");
  line(`${"".padEnd(width + 3)}${dim(header)}${dim("  redundancy  features")}`);
  benchmarks.forEach(({ name, redundancy, features }, row) => {
    const cells = overlap[row]!.map((value) => (value === null ? "  · " : shade(` ${percent(value)} `, value)));
    const figures = `${(redundancy ?? Number.NaN).toFixed(2).padStart(10)}${String(features).padStart(10)}`;
    line(`${dim(label(row))} ${name.padEnd(width)} ${cells.join("")}  ${figures}`);
  });
  line();
  line(dim("a cell: the share (%) of the row's features that the column has too, ** for all; redundancy: the higher,"));
  line(dim("the more a benchmark's samples repeat one another's features"));
}

const percent = (value: number): string => (value > 0.995 ? "**" : String(Math.floor(value * 100)).padStart(2));

/** What the matrix says, read off the matrix: the most contained pair, the nearest to a duplicate, the most apart. */
export function printFindings({ benchmarks, overlap }: BenchmarkReport): void {
  const pairs = benchmarks.flatMap((_, i) =>
    benchmarks.flatMap((_, j) => (i === j ? [] : [{ i, j, share: overlap[i]![j] ?? 0, back: overlap[j]![i] ?? 0 }])),
  );
  const name = (index: number) => bold(benchmarks[index]!.name);
  const whole = (value: number) => `${Math.round(value * 100)} %`;
  const twin = pairs.reduce((best, pair) =>
    Math.min(pair.share, pair.back) > Math.min(best.share, best.back) ? pair : best,
  );
  const uneven = pairs.filter((pair) => Math.min(pair.share, pair.back) < 0.9);
  const inside = uneven.reduce((best, pair) => (pair.share > best.share ? pair : best));
  const apart = benchmarks
    .map((_, i) => ({ i, most: Math.max(...pairs.filter((pair) => pair.i === i).map((pair) => pair.share)) }))
    .reduce((best, one) => (one.most < best.most ? one : best));
  line(`nearly the same   ${name(twin.i)} and ${name(twin.j)}: ${whole(twin.share)} and ${whole(twin.back)} shared`);
  line(
    `mostly contained  ${name(inside.i)} in ${name(inside.j)}: ${whole(inside.share)}, the other way ${whole(inside.back)}`,
  );
  line(`on its own        ${name(apart.i)}: no other benchmark covers more than ${whole(apart.most)} of it`);
}
