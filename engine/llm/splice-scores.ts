// What replacing one layer's residual stream does to the model's predictions, for several replacements from one pass.

import { Graph } from "../onnx/graph.ts";
import { exp, mul, neg, sub } from "../ops/elementwise.ts";
import { gatherElements } from "../ops/indexing.ts";
import { reduceSum } from "../ops/reduce.ts";
import { logSoftmax } from "../ops/softmax.ts";
import { openSession, type Session } from "../runtime/session.ts";
import { tensor } from "../runtime/tensor.ts";
import { forwardTaps } from "./chunked-forward.ts";
import { headAlone, nextTokens, rowsPerRun, type SplicedLayer, withPadding } from "./cross-entropy.ts";
import { batchesOf, checkSequence, padded, withoutPadding } from "./harvest.ts";
import type { LanguageModel } from "./model.ts";

export interface SpliceScore {
  /** Mean −log q_t[token_{t+1}] over next tokens, q the model's prediction with the layer replaced. */
  readonly crossEntropyNats: number;
  /** Mean KL(p_t ‖ q_t) = Σ_v p_t[v]·(log p_t[v] − log q_t[v]), p the prediction with nothing replaced. */
  readonly divergenceNats: number;
}

export interface SpliceScores {
  /** The cross-entropy with nothing replaced. */
  readonly clean: number;
  readonly spliced: readonly SpliceScore[];
}

/** Sequences of one pass together, in tokens. */
const BATCH_TOKENS = 2048;

interface Options {
  readonly threads?: number;
  /** Called between two runs of the model; what it throws ends the work. */
  readonly step?: () => Promise<void>;
}

/**
 * Scores of the replacements, over all next tokens of the sequences; in nats per token, logarithms in float32, means in float64. The
 * blocks up to the layer run once for all of them, those above once for each.
 *
 * @throws RangeError for a sequence that the model cannot take, or when no sequence has two tokens
 */
export async function spliceScores(
  model: LanguageModel,
  sequences: readonly Int32Array[],
  layer: number,
  splices: readonly SplicedLayer["splice"][],
  { threads = 0, step = async () => {} }: Options = {},
): Promise<SpliceScores> {
  sequences.forEach((ids, index) => {
    checkSequence(model, ids, index);
  });
  const scorer = await openScorer(model.config.vocabulary, threads);
  try {
    return await scoreAll(model, { sequences, layer, splices, step }, scorer);
  } finally {
    await scorer.close();
  }
}

interface Task {
  readonly sequences: readonly Int32Array[];
  readonly layer: number;
  readonly splices: readonly SplicedLayer["splice"][];
  readonly step: () => Promise<void>;
}

async function scoreAll(
  model: LanguageModel,
  { sequences, layer, splices, step }: Task,
  scorer: Scorer,
): Promise<SpliceScores> {
  const sums = { clean: 0, crossEntropy: splices.map(() => 0), divergence: splices.map(() => 0), count: 0 };
  const scored = sequences.filter((ids) => ids.length > 1);
  for (const group of batchesOf(scored, BATCH_TOKENS)) {
    const { ids, tokens } = padded(group);
    const { clean, spliced } = await finalResiduals(model, { group, ids, tokens, layer }, splices, step);
    const { rows, targets } = nextTokens(group, tokens);
    const perRun = rowsPerRun(model);
    for (let at = 0; at < rows.length; at += perRun) {
      const picked = rows.slice(at, at + perRun);
      const wanted = Int32Array.from(targets.slice(at, at + perRun));
      await step();
      const { logP, crossEntropy } = await scorer.clean(await headAlone(model, clean, picked), wanted);
      sums.clean += total(crossEntropy);
      for (const [i, residual] of spliced.entries()) {
        await step();
        const score = await scorer.spliced(logP, await headAlone(model, residual, picked), wanted);
        sums.crossEntropy[i]! += total(score.crossEntropy);
        sums.divergence[i]! += total(score.divergence);
      }
    }
    sums.count += rows.length;
  }
  if (sums.count === 0) throw new RangeError("cross-entropy needs a sequence of at least two tokens");
  return {
    clean: sums.clean / sums.count,
    spliced: splices.map((_, i) => ({
      crossEntropyNats: sums.crossEntropy[i]! / sums.count,
      divergenceNats: sums.divergence[i]! / sums.count,
    })),
  };
}

function total(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}

interface Scorer {
  /** Of logits [R, V] and the tokens that followed: log p [R, V] and −log p of those. */
  clean(logits: Float32Array, targets: Int32Array): Promise<{ logP: Float32Array; crossEntropy: Float32Array }>;
  spliced(
    logP: Float32Array,
    logits: Float32Array,
    targets: Int32Array,
  ): Promise<{ crossEntropy: Float32Array; divergence: Float32Array }>;
  close(): Promise<void>;
}

/** As graphs: in plain loops the exponentials of 4096 × 4096 logits took three times as long as the model itself. */
async function openScorer(vocabulary: number, threads: number): Promise<Scorer> {
  const [clean, spliced] = [
    await openSession(cleanGraph(vocabulary), { threads }),
    await openSession(splicedGraph(vocabulary), { threads }),
  ];
  const floats = (values: Float32Array, rows: number) => tensor("float32", values, [rows, vocabulary]);
  const run = async (session: Session, feeds: Record<string, Float32Array>, targets: Int32Array) => {
    const rows = targets.length;
    const named = Object.entries(feeds).map(([name, values]) => [name, floats(values, rows)] as const);
    return session.run({ ...Object.fromEntries(named), targets: tensor("int32", targets, [rows, 1]) });
  };
  return {
    async clean(logits, targets) {
      const found = await run(clean, { logits }, targets);
      return { logP: found.log_p!.data as Float32Array, crossEntropy: found.cross_entropy!.data as Float32Array };
    },
    async spliced(logP, logits, targets) {
      const found = await run(spliced, { log_p: logP, logits }, targets);
      const [crossEntropy, divergence] = [found.cross_entropy!.data, found.divergence!.data];
      return { crossEntropy: crossEntropy as Float32Array, divergence: divergence as Float32Array };
    },
    async close() {
      await clean.close();
      await spliced.close();
    },
  };
}

function cleanGraph(vocabulary: number): Graph {
  const graph = new Graph("clean-scores");
  const logP_RV = logSoftmax(graph.input("logits", "float32", ["R", vocabulary]));
  const targets_R1 = graph.input("targets", "int32", ["R", 1]);
  graph.output(logP_RV, "log_p");
  graph.output(neg(gatherElements(logP_RV, targets_R1, 1)), "cross_entropy");
  return graph;
}

/** KL as Σ p·(log p − log q): the difference first, so that nearly equal predictions lose no digits. */
function splicedGraph(vocabulary: number): Graph {
  const graph = new Graph("splice-scores");
  const logP_RV = graph.input("log_p", "float32", ["R", vocabulary]);
  const logQ_RV = logSoftmax(graph.input("logits", "float32", ["R", vocabulary]));
  const targets_R1 = graph.input("targets", "int32", ["R", 1]);
  graph.output(neg(gatherElements(logQ_RV, targets_R1, 1)), "cross_entropy");
  graph.output(reduceSum(mul(exp(logP_RV), sub(logP_RV, logQ_RV)), [1]), "divergence");
  return graph;
}

interface Group {
  readonly group: readonly Int32Array[];
  readonly ids: Int32Array;
  readonly tokens: number;
  readonly layer: number;
}

/** resid_post of the last layer, [S·T, D], with nothing replaced and with each splice. */
async function finalResiduals(
  model: LanguageModel,
  { group, ids, tokens, layer }: Group,
  splices: readonly SplicedLayer["splice"][],
  step: () => Promise<void>,
): Promise<{ clean: Float32Array; spliced: Float32Array[] }> {
  const { dModel, layers } = model.config;
  const last = layers - 1;
  if (!Number.isInteger(layer) || layer < 0 || layer > last) {
    throw new RangeError(`layer ${layer} is not among the model's ${layers}`);
  }
  const shape = { sequences: group.length, tokens, ids };
  const taps = await forwardTaps(model, { ...shape, taps: layer === last ? [last] : [layer, last] });
  const own = withoutPadding(taps[0]!, group, tokens, dModel);
  const position = Int32Array.from(group.flatMap((one) => Array.from(one.keys())));
  const spliced: Float32Array[] = [];
  for (const splice of splices) {
    await step();
    const residual = withPadding(await splice(own, position), group, tokens, dModel);
    if (layer === last) spliced.push(residual);
    else spliced.push((await forwardTaps(model, { ...shape, residual, firstLayer: layer + 1, taps: [last] }))[0]!);
  }
  return { clean: taps.at(-1)!, spliced };
}
