// Operators that move elements, as plain loops.

import {
  at,
  atBroadcast,
  broadcastShape,
  build,
  coordinates,
  countOf,
  type NdArray,
  offsetOf,
  resolve,
} from "./array.ts";
import { int, ints, type Kernel, string } from "./kernel.ts";

/** Same elements under another shape. */
const reshaped = (shape: (x: NdArray, second: NdArray, allowZero: boolean) => number[]): Kernel => {
  return ([x, second], node) => [
    { shape: shape(x!, second!, node.opType === "Reshape" && int(node, "allowzero") === 1), data: x!.data },
  ];
};

const combine: Readonly<Record<string, (old: number, update: number) => number>> = {
  none: (_, update) => update,
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  max: Math.max,
  min: Math.min,
};

export const moving: Readonly<Record<string, Kernel>> = {
  Shape: ([x], node) => {
    const sizes = x!.shape.slice(int(node, "start"), int(node, "end"));
    return [build([sizes.length], ([i]) => sizes[i!]!)];
  },
  Reshape: reshaped((x, target, allowZero) => {
    const shape = Array.from(target.data, (size, i) => (size === 0 && !allowZero ? x.shape[i]! : size));
    const known = countOf(shape.filter((size) => size !== -1));
    return shape.map((size) => (size === -1 ? countOf(x.shape) / known : size));
  }),
  Squeeze: reshaped((x, axes) => x.shape.filter((_, i) => !axes.data.includes(i))),
  Unsqueeze: reshaped((x, axes) => {
    const shape = [...x.shape];
    for (const axis of axes.data) shape.splice(axis, 0, 1);
    return shape;
  }),
  Transpose: ([x], node) => {
    const order = ints(node, "perm");
    const shape = order.map((axis) => x!.shape[axis]!);
    return [
      build(shape, (c) =>
        at(
          x!,
          order.map((_, axis) => c[order.indexOf(axis)]!),
        ),
      ),
    ];
  },
  Expand: ([x, target]) => [build(broadcastShape(x!.shape, Array.from(target!.data)), (c) => atBroadcast(x!, c))],
  Tile: ([x, repeats]) => {
    const shape = x!.shape.map((size, i) => size * repeats!.data[i]!);
    return [
      build(shape, (c) =>
        at(
          x!,
          c.map((i, axis) => i % x!.shape[axis]!),
        ),
      ),
    ];
  },
  Concat: (x, node) => {
    const axis = resolve(int(node, "axis"), x[0]!.shape.length);
    const total = x.reduce((sum, piece) => sum + piece.shape[axis]!, 0);
    return [
      build(x[0]!.shape.with(axis, total), (c) => {
        let i = c[axis]!;
        const piece = x.find((candidate) => {
          if (i < candidate.shape[axis]!) return true;
          i -= candidate.shape[axis]!;
          return false;
        });
        return at(piece!, c.with(axis, i));
      }),
    ];
  },
  Range: ([start, limit, step]) => {
    const count = Math.max(0, Math.ceil((limit!.data[0]! - start!.data[0]!) / step!.data[0]!));
    return [build([count], ([i]) => start!.data[0]! + i! * step!.data[0]!)];
  },

  Slice: ([x, starts, ends, axes]) => {
    const axis = axes!.data[0]!;
    const size = x!.shape[axis]!;
    const bound = (b: number) => Math.min(size, Math.max(0, b < 0 ? b + size : b));
    const [from, to] = [bound(starts!.data[0]!), bound(ends!.data[0]!)];
    return [build(x!.shape.with(axis, Math.max(0, to - from)), (c) => at(x!, c.with(axis, c[axis]! + from)))];
  },
  Split: ([x, sizes], node) => {
    const axis = int(node, "axis");
    let start = 0;
    return Array.from(sizes!.data, (size) => {
      const from = start;
      start += size;
      return build(x!.shape.with(axis, size), (c) => at(x!, c.with(axis, c[axis]! + from)));
    });
  },
  Pad: ([x, pads, number, axes]) => {
    const axis = axes!.data[0]!;
    const [before, after] = pads!.data as unknown as [number, number];
    return [
      build(x!.shape.with(axis, x!.shape[axis]! + before + after), (c) => {
        const i = c[axis]! - before;
        return i >= 0 && i < x!.shape[axis]! ? at(x!, c.with(axis, i)) : number!.data[0]!;
      }),
    ];
  },
  Trilu: ([x, offset], node) => [
    build(x!.shape, (c) => {
      const above = c.at(-1)! - c.at(-2)! - offset!.data[0]!;
      return (int(node, "upper") ? above >= 0 : above <= 0) ? at(x!, c) : 0;
    }),
  ],

  Gather: ([x, indices], node) => {
    const axis = resolve(int(node, "axis"), x!.shape.length);
    const rank = indices!.shape.length;
    return [
      build([...x!.shape.slice(0, axis), ...indices!.shape, ...x!.shape.slice(axis + 1)], (c) => {
        const i = resolve(at(indices!, c.slice(axis, axis + rank)), x!.shape[axis]!);
        return at(x!, [...c.slice(0, axis), i, ...c.slice(axis + rank)]);
      }),
    ];
  },
  GatherElements: ([x, indices], node) => {
    const axis = resolve(int(node, "axis"), x!.shape.length);
    return [build(indices!.shape, (c) => at(x!, c.with(axis, resolve(at(indices!, c), x!.shape[axis]!))))];
  },
  ScatterElements: ([x, indices, updates], node) => {
    const axis = resolve(int(node, "axis"), x!.shape.length);
    const data = x!.data.slice();
    for (const c of coordinates(indices!.shape)) {
      const place = offsetOf(x!.shape, c.with(axis, resolve(at(indices!, c), x!.shape[axis]!)));
      data[place] = combine[string(node, "reduction")]!(data[place]!, at(updates!, c));
    }
    return [{ shape: x!.shape, data }];
  },
  GatherND: ([x, indices]) => {
    const depth = indices!.shape.at(-1)!;
    const outer = indices!.shape.length - 1;
    return [
      build([...indices!.shape.slice(0, -1), ...x!.shape.slice(depth)], (c) =>
        at(x!, [...coordinate(x!, indices!, c.slice(0, outer)), ...c.slice(outer)]),
      ),
    ];
  },
  ScatterND: ([x, indices, updates], node) => {
    const outer = indices!.shape.length - 1;
    const data = x!.data.slice();
    for (const c of coordinates(updates!.shape)) {
      const place = offsetOf(x!.shape, [...coordinate(x!, indices!, c.slice(0, outer)), ...c.slice(outer)]);
      data[place] = combine[string(node, "reduction")]!(data[place]!, at(updates!, c));
    }
    return [{ shape: x!.shape, data }];
  },
};

/** One row of an index tensor: a coordinate in x, or the leading part of one. */
function coordinate(x: NdArray, indices: NdArray, row: readonly number[]): number[] {
  return Array.from({ length: indices.shape.at(-1)! }, (_, i) => resolve(at(indices, [...row, i]), x.shape[i]!));
}
