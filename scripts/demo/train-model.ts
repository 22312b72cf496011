// Trains the demonstration model with this engine, on this project's corpus. Stop it at any time: it goes on from the
// last checkpoint in .data/demo-train/.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { initialParameters, writeCheckpoint } from "../../engine/llm/checkpoint.ts";
import { parseDecoderConfig } from "../../engine/llm/config.ts";
import {
  createLanguageModelTrainer,
  type LanguageModelTrainerState,
  nextTokenTargets,
} from "../../engine/llm/trainer.ts";
import { openSafetensors, readTensorFloat32, writeSafetensors } from "../../formats/safetensors.ts";
import type { MixtureName } from "../corpus/corpus.ts";
import { readLexicon } from "../corpus/lexicon.ts";
import { LANGUAGES } from "../corpus/record.ts";
import { CONTEXT_LENGTH, SPECIAL_TOKENS, VOCABULARY_SIZE } from "../train-tokenizer.ts";
import { heldOutBatches, loadEncoder, trainingBatch } from "./model-data.ts";

export const MODEL_CONFIG = parseDecoderConfig({
  model_type: "qwen3",
  hidden_size: 192,
  intermediate_size: 512,
  num_hidden_layers: 6,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 32,
  vocab_size: VOCABULARY_SIZE,
  tie_word_embeddings: true,
  max_position_embeddings: CONTEXT_LENGTH,
  rope_theta: 10_000,
  rms_norm_eps: 1e-6,
  eos_token_id: [SPECIAL_TOKENS.indexOf("<|im_end|>"), SPECIAL_TOKENS.indexOf("<|endoftext|>")],
  bos_token_id: SPECIAL_TOKENS.indexOf("<|endoftext|>"),
});

const SHAPE = { batch: 4, sequenceLength: 256 };
const SEED = 20_26;
const WARMUP_STEPS = 100;
const CHECKPOINT_EVERY = 100;
const EVALUATE_EVERY = 500;
/** Sequences of held-out text per language: while training, and for the figures that are recorded. */
const GLANCE_BATCHES = 2;
const RECORDED_BATCHES = 16;

export interface TrainModelOptions {
  readonly folder: string;
  readonly work: string;
  /** Stops after so many; all phases if absent. */
  readonly steps?: number;
}

interface Phase {
  readonly tokens: number;
  readonly peakRate: number;
  readonly mixture: MixtureName;
}

/** First to write every language, then to change between them. */
const PHASES: readonly Phase[] = [
  { tokens: 3_600_000, peakRate: 2e-3, mixture: "single" },
  { tokens: 1_600_000, peakRate: 1.2e-3, mixture: "mixed" },
];

const stepsIn = (phase: Phase): number => Math.ceil(phase.tokens / (SHAPE.batch * SHAPE.sequenceLength));
const ALL_STEPS = PHASES.reduce((sum, phase) => sum + stepsIn(phase), 0);

/** In each phase a linear warm-up, then a cosine down to a twentieth of its peak. */
export function planAt(step: number): { readonly rate: number; readonly mixture: MixtureName } {
  let start = 0;
  for (const phase of PHASES) {
    const length = stepsIn(phase);
    if (step < start + length || phase === PHASES.at(-1)) {
      const at = step - start;
      const progress = Math.max(0, at - WARMUP_STEPS) / Math.max(1, length - WARMUP_STEPS);
      const rate = at < WARMUP_STEPS ? (at + 1) / WARMUP_STEPS : 0.05 + 0.95 * 0.5 * (1 + Math.cos(Math.PI * progress));
      return { rate: phase.peakRate * rate, mixture: phase.mixture };
    }
    start += length;
  }
  throw new RangeError("there is no phase");
}

export async function trainModel({ folder, work, steps = ALL_STEPS }: TrainModelOptions): Promise<void> {
  const lexicon = readLexicon();
  const encode = loadEncoder(folder);
  const saved = await readState(work);
  const trainer = await createLanguageModelTrainer(MODEL_CONFIG, {
    ...SHAPE,
    // One thread: the state after a given number of steps must not depend on the machine's cores, and small products
    // gain little from more.
    threads: 1,
    parameters: initialParameters(MODEL_CONFIG, SEED),
    ...(saved ? { state: saved } : {}),
  });
  const report = async (batches: number): Promise<Record<string, number>> => {
    const perplexity: Record<string, number> = {};
    for (const language of [...LANGUAGES, "und"] as const) {
      const texts = heldOutBatches(lexicon, encode, SHAPE, language);
      let nats = 0;
      for (let i = 0; i < batches; i++) {
        const ids = texts.next().value;
        nats += (await trainer.evaluate(ids, nextTokenTargets(ids, SHAPE))) / batches;
      }
      perplexity[language] = Math.exp(nats);
    }
    return perplexity;
  };

  const started = performance.now();
  const first = trainer.steps;
  let recent = Number.NaN;
  while (trainer.steps < steps) {
    const { rate: learningRate, mixture } = planAt(trainer.steps);
    const ids = trainingBatch(lexicon, encode, SHAPE, SEED, trainer.steps, mixture);
    const { loss } = await trainer.step(ids, nextTokenTargets(ids, SHAPE), learningRate);
    recent = Number.isNaN(recent) ? loss : 0.95 * recent + 0.05 * loss;
    const done = trainer.steps;
    if (done % 20 === 0) {
      const seconds = (performance.now() - started) / 1000;
      const rate = ((done - first) * SHAPE.batch * SHAPE.sequenceLength) / seconds;
      const eta = ((steps - done) * seconds) / (done - first);
      console.log(
        `step ${done}/${steps}  loss ${recent.toFixed(3)}  ${Math.round(rate)} tokens/s  ${Math.round(eta)} s left`,
      );
    }
    if (done % CHECKPOINT_EVERY === 0) await writeState(work, trainer.state());
    if (done % EVALUATE_EVERY === 0) {
      console.log(`held-out perplexity ${format(await report(GLANCE_BATCHES))}`);
      await writeCheckpoint(folder, MODEL_CONFIG, trainer.parameters(), "float16");
    }
  }
  const perplexity = await report(RECORDED_BATCHES);
  console.log(`held-out perplexity ${format(perplexity)}`);
  await writeState(work, trainer.state());
  await writeCheckpoint(folder, MODEL_CONFIG, trainer.parameters(), "float16");
  const figures = { steps, tokens: steps * SHAPE.batch * SHAPE.sequenceLength, finalLoss: recent, perplexity };
  writeFileSync(join(folder, "training.json"), `${JSON.stringify(figures, null, 2)}\n`);
  await trainer.close();
}

const format = (perplexity: Record<string, number>): string =>
  Object.entries(perplexity)
    .map(([language, value]) => `${language} ${value.toFixed(2)}`)
    .join("  ");

async function writeState(work: string, state: LanguageModelTrainerState): Promise<void> {
  mkdirSync(work, { recursive: true });
  const tensors = [...state.tensors].map(([name, data]) => ({
    name,
    dtype: "F32" as const,
    shape: [data.length],
    data,
  }));
  await writeSafetensors(join(work, "state.safetensors"), tensors, { steps: String(state.steps) });
}

async function readState(work: string): Promise<LanguageModelTrainerState | null> {
  const path = join(work, "state.safetensors");
  if (!existsSync(path)) return null;
  const file = await openSafetensors(path);
  const tensors = new Map<string, Float32Array>();
  for (const name of file.tensors.keys()) tensors.set(name, await readTensorFloat32(file, name));
  return { steps: Number(file.metadata.steps), tensors };
}
