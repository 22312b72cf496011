// A square matrix as cells, names and the tree of its clustering, in the units of an SVG's viewBox.

export interface TreeMerge {
  readonly left: number;
  readonly right: number;
  readonly similarity: number;
}

export interface HeatCell {
  readonly row: number;
  readonly column: number;
  readonly value: number | null;
  readonly x: number;
  readonly y: number;
}

export interface HeatMapGeometry {
  readonly width: number;
  readonly height: number;
  readonly size: number;
  readonly left: number;
  readonly top: number;
  readonly cells: readonly HeatCell[];
  readonly names: readonly { readonly name: string; readonly at: number }[];
  /** Paths of the tree's brackets, right of the matrix. */
  readonly tree: readonly string[];
  /** Whether a cell has room for its value. */
  readonly roomy: boolean;
}

const matrixSide = 520;
const letterWidth = 6.3;
const longestName = 24;
const treeWidth = 56;

/** @param order row and column k of the drawing show benchmark order[k] */
export function heatMapGeometry(
  names: readonly string[],
  matrix: readonly (readonly (number | null)[])[],
  order: readonly number[],
  tree: readonly TreeMerge[] = [],
): HeatMapGeometry {
  const size = Math.max(11, Math.min(52, Math.floor(matrixSide / Math.max(1, order.length))));
  const shown = order.map((index) => shortName(names[index] ?? ""));
  const margin = Math.ceil(Math.max(3, ...shown.map((name) => name.length)) * letterWidth) + 10;
  const side = size * order.length;
  const cells = order.flatMap((row, down) =>
    order.map((column, across) => ({
      row,
      column,
      value: matrix[row]?.[column] ?? null,
      x: margin + across * size,
      y: margin + down * size,
    })),
  );
  return {
    width: margin + side + (tree.length > 0 ? treeWidth : 0),
    height: margin + side,
    size,
    left: margin,
    top: margin,
    cells,
    names: shown.map((name, k) => ({ name, at: margin + (k + 0.5) * size })),
    tree: brackets(order, tree, margin + side + 4, margin, size),
    roomy: size >= 34,
  };
}

export function shortName(name: string): string {
  return name.length > longestName ? `${name.slice(0, longestName - 1)}…` : name;
}

function brackets(order: readonly number[], tree: readonly TreeMerge[], x: number, y: number, size: number): string[] {
  const placeOf = new Map(order.map((index, k) => [index, y + (k + 0.5) * size]));
  const nodes = new Map<number, { readonly at: number; readonly depth: number }>();
  const node = (id: number) => nodes.get(id) ?? { at: placeOf.get(id) ?? y, depth: 0 };
  return tree.map(({ left, right, similarity }, i) => {
    const [a, b] = [node(left), node(right)];
    // Similar ones meet near the matrix; a merge never lies before the merges that it joins.
    const depth = Math.max(a.depth, b.depth, Math.min(1, Math.max(0, 1 - similarity)));
    nodes.set(order.length + i, { at: (a.at + b.at) / 2, depth });
    const across = (share: number) => (x + share * (treeWidth - 10)).toFixed(1);
    return `M${across(a.depth)} ${a.at.toFixed(1)}H${across(depth)}V${b.at.toFixed(1)}H${across(b.depth)}`;
  });
}

/** Where an arrow key leads from a cell, staying inside. */
export function stepCell(
  order: readonly number[],
  at: readonly [number, number],
  key: string,
): [number, number] | null {
  const moves: Readonly<Record<string, readonly [number, number]>> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  const move = moves[key];
  if (move === undefined) return null;
  const inside = (place: number) => Math.min(order.length - 1, Math.max(0, place));
  const row = order[inside(order.indexOf(at[0]) + move[0])] ?? at[0];
  const column = order[inside(order.indexOf(at[1]) + move[1])] ?? at[1];
  return [row, column];
}
