// What a block is given besides its weights.

import type { Dim, Graph, Shape, Value } from "../onnx/graph.ts";
import { reshape, sizes } from "../ops/shape.ts";
import type { RunExperts } from "./experts.ts";
import type { Recurrence } from "./recurrence.ts";

/** Sizes, rotary factors, and the mixing of positions. */
export interface BlockContext {
  readonly sequences: Dim;
  readonly positions: Dim;
  /** cos and sin of position · frequency, shaped to broadcast over [S, heads, T, rope dims / 2]. */
  readonly cos: Value;
  readonly sin: Value;
  /** Reshape whose target is computed once per graph when sizes are symbolic. */
  readonly reshape: (x: Value, shape: Shape) => Value;
  /**
   * Mixes values over positions. query [S, kvHeads, group·T, headDim], already scaled by 1/√headDim, rows group-major;
   * key and value [S, kvHeads, T, headDim]; result like query. null in a delta net.
   */
  readonly attend: ((query: Value, key: Value, value: Value) => Value) | null;
  /** null where no layer is a delta net. */
  readonly recurrence: Recurrence | null;
  /** How the experts of a mixture are run. */
  readonly runExperts: RunExperts;
}

/**
 * A reshape for graphs with symbolic sizes: the target vectors are computed once, in `graph` itself, so that the blocks (which
 * may be bodies of an If) capture them instead of each computing its own.
 */
export function sharedReshape(graph: Graph): BlockContext["reshape"] {
  const targets = new Map<string, Value>();
  return (x, shape) => {
    const symbols = shape.filter((dim) => typeof dim === "string");
    if (symbols.length <= 1) return reshape(x, shape);
    const key = shape.join(",");
    let target = targets.get(key);
    if (!target) {
      target = graph.within(() => sizes(graph, shape));
      targets.set(key, target);
    }
    // Without allowzero a size of 0 (an empty cache) would mean "as in the input".
    return x.graph.current.node("Reshape", [x, target], [{ dtype: x.dtype, shape }], {
      attributes: { allowzero: { int: 1 } },
    })[0]!;
  };
}
