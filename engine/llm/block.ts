// One decoder block, described once: the inference graph and the training graph differ only in how positions are mixed.

import type { Dim, Graph, Shape, Value } from "../onnx/graph.ts";
import { add } from "../ops/elementwise.ts";
import { rmsNorm } from "../ops/norm.ts";
import { reshape, sizes } from "../ops/shape.ts";
import { attention } from "./attention.ts";
import type { DecoderConfig } from "./config.ts";
import { deltaNet, type Recurrence } from "./delta-net.ts";
import { expertFeedForward, type RunExperts } from "./experts.ts";
import { denseFeedForward } from "./feed-forward.ts";
import type { BlockWeights } from "./parameters.ts";

/** What a block needs besides its weights: sizes, rotary factors, and the mixing of positions. */
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
 * h + mixer(norm(h)), then + feedForward(norm(·)): the pre-norm block that all families share.
 * h is [S·T, D] and so is the result, the residual stream after the block.
 */
export function decoderBlock(h: Value, weights: BlockWeights, config: DecoderConfig, context: BlockContext): Value {
  const scope = (name: string, build: () => Value) => h.graph.root.scope(name, build);
  const mixed = scope("attention", () => {
    const x = rmsNorm(h, weights.inputNorm, config.rmsEpsilon);
    return weights.mixer.kind === "attention"
      ? attention(x, weights.mixer, config, context)
      : deltaNet(x, weights.mixer, config, context);
  });
  const between = add(h, mixed);
  const transformed = scope("mlp", () => {
    const x = rmsNorm(between, weights.feedForwardNorm, config.rmsEpsilon);
    return weights.feedForward.kind === "dense"
      ? denseFeedForward(x, weights.feedForward)
      : expertFeedForward(x, weights.feedForward, config.experts!, context.runExperts);
  });
  return add(between, transformed);
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
