// Which keys a query may see, as numbers that are added to scores.

import type { Graph, Value } from "../onnx/graph.ts";
import { add, and, greater, less, lessOrEqual, sub, where } from "../ops/elementwise.ts";
import { range, sizeOf, squeeze, unsqueeze } from "../ops/shape.ts";

/** Added to the score of a key that must not be seen: its probability becomes exactly 0. */
const hidden = -1e30;

/** 0 where a key may be seen, very negative elsewhere. */
export interface AttentionMasks {
  /** [S, 1, 1, 1 or T, P] */
  readonly past: Value;
  /** [T, K] */
  readonly fresh: Value;
}

/**
 * Masks by window (null: none), each made once. A query at position t sees the positions t − window + 1 … t: of the P cached columns
 * the first `pastLengths` are real, and the K new columns are the T new tokens and `padding`.
 */
export function attentionMasks(
  graph: Graph,
  pastLengths: Value,
  padding: Value,
): (window: number | null) => AttentionMasks {
  const made = new Map<number | null, AttentionMasks>();
  const build = (window: number | null): AttentionMasks => {
    const tokens = range(graph, "T");
    const columns = range(graph, "P");
    const newColumns = unsqueeze(rangeTo(add(sizeOf(graph, "T"), padding), "K"), [0]);
    const cached = less(unsqueeze(columns, [0]), unsqueeze(pastLengths, [1]));
    const causal = lessOrEqual(newColumns, unsqueeze(tokens, [1]));
    const mask = (seen: Value) => where(seen, graph.constant(0, "float32", []), hidden);
    if (window === null) return { past: unsqueeze(mask(cached), [1, 2, 3]), fresh: mask(causal) };
    const positions = add(unsqueeze(pastLengths, [1]), unsqueeze(tokens, [0]));
    const recent = greater(unsqueeze(columns, [0, 1]), unsqueeze(sub(positions, window), [2]));
    return {
      past: unsqueeze(mask(and(unsqueeze(cached, [1]), recent)), [1, 2]),
      fresh: mask(and(causal, greater(newColumns, unsqueeze(sub(tokens, window), [1])))),
    };
  };
  return (window) => {
    if (!made.has(window))
      made.set(
        window,
        graph.within(() => build(window)),
      );
    return made.get(window)!;
  };
}

/** 0, 1, … as int64 up to a length known only at run time. */
function rangeTo(limit: Value, size: string): Value {
  const home = limit.graph.current;
  const inputs = [home.constant(0, "int64", []), squeeze(limit, [0]), home.constant(1, "int64", [])];
  return home.node("Range", inputs, [{ dtype: "int64", shape: [size] }])[0]!;
}
