// One decoder block, described once: the inference graph and the training graph differ only in how positions are mixed.

import type { Value } from "../onnx/graph.ts";
import { add } from "../ops/elementwise.ts";
import { rmsNorm } from "../ops/norm.ts";
import { attention } from "./attention.ts";
import type { BlockContext } from "./block-context.ts";
import type { DecoderConfig } from "./config.ts";
import { deltaNet } from "./delta-net.ts";
import { expertFeedForward } from "./experts.ts";
import { denseFeedForward } from "./feed-forward.ts";
import type { BlockWeights } from "./parameters.ts";

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
