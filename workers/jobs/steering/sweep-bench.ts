/**
 * Where a sweep generates and scores: the model with its running batch, the saes, the prompts, the goal. An arm is one way to go on
 * from some of the prompts; what becomes of it depends on nothing but itself.
 */
import type { KnownModel } from "../../../domain/generation/lookups.ts";
import { resolveSteering } from "../../../domain/generation/steering.ts";
import { isProblem, Problem } from "../../../domain/problem.ts";
import type { ResolvedEdit } from "../../../domain/request.ts";
import type { Edit } from "../../../domain/steering.ts";
import type { SweepGoal } from "../../../domain/sweep-goal.ts";
import type { TextScores } from "../../../engine/features/sweep-verdict.ts";
import { distinctShare, longestRepetition } from "../../../engine/features/text-measures.ts";
import { readTexts, type TextReading } from "../../../engine/llm/completion-scores.ts";
import { createGenerator, type GenerationEnd, type Generator } from "../../../engine/llm/generator.ts";
import { withMaximum } from "../../completion.ts";
import { useModel, useSae, type WorkerModel, type WorkerSae } from "../../open-models.ts";
import type { ModelRow, SaeRow } from "../../records.ts";
import type { Lease } from "../../residency.ts";
import { type EngineEdit, saeIdsOf, toControlEdits, toEngineEdits } from "../../steering.ts";
import { type JobContext, Stopped } from "../handler.ts";
import { openGoal } from "./sweep-goal.ts";
import type { GoalScorer } from "./sweep-judge.ts";
import { type PromptSettings, readPrompts, type SweepPrompt } from "./sweep-prompts.ts";

export interface Arm {
  /** Names it among the arms of its job. */
  readonly key: string;
  /** null: without steering */
  readonly edit: Edit | null;
  /** What is made of the edit; `seed` draws the random feature. */
  readonly as: "itself" | "negative" | { readonly seed: number };
  /** Whether the instruction goes before the prompts. */
  readonly instructed: boolean;
  /** Draws at temperature 1 with a seed of its own; absent: as the settings say. */
  readonly sample?: number;
  /** Indices of the prompts. */
  readonly prompts: readonly number[];
}

export interface ScoredText extends TextScores {
  readonly prompt: number;
  readonly text: string;
  /** ‖h'−h‖/‖h‖, mean over the tokens that were touched. */
  readonly change: number;
}

export type ArmOutcome =
  | { readonly texts: readonly ScoredText[]; readonly drawn: string | null }
  | { readonly failed: string };

export type BenchSettings = PromptSettings & {
  readonly model_id: string;
  readonly goal: SweepGoal;
  readonly temperature: number;
};

export interface SweepBench {
  readonly modelRow: ModelRow;
  readonly model: WorkerModel;
  readonly runtime: string;
  readonly prompts: readonly SweepPrompt[];
  /** All arms in one batch. An arm whose numbers overflow fails by itself. @throws Stopped */
  run(arms: readonly Arm[], onText: () => void): Promise<ArmOutcome[]>;
  close(): Promise<void>;
}

export async function openBench(settings: BenchSettings, context: JobContext): Promise<SweepBench> {
  const leases: Lease<WorkerModel | WorkerSae>[] = [];
  let goal: GoalScorer | null = null;
  let generator: Generator | null = null;
  const close = async () => {
    await generator?.idle();
    generator?.close();
    goal?.close();
    for (const lease of leases) lease.release();
  };
  try {
    const modelRow = await context.catalog.model(settings.model_id);
    const lease = await useModel(context, modelRow);
    leases.push(lease);
    const model = lease.value;
    goal = await openGoal(settings.goal, context);
    const prompts = await readPrompts(settings, model, context);
    const { language } = model;
    const forward: typeof language.forward = (input) => language.forward(input).finally(() => void context.step());
    const { maxBatch, cacheBytes } = context.settings;
    generator = createGenerator({ ...language, forward }, { maxBatch, cacheBytes });
    const saes = new Map<string, { row: SaeRow; sae: WorkerSae }>();
    const openSae = async (id: string) => {
      const row = await context.catalog.sae(id);
      const opened = await useSae(context, row);
      leases.push(opened);
      saes.set(id, { row, sae: opened.value });
    };
    const parts: Parts = { settings, context, modelRow, model, generator, goal, prompts, saes, openSae };
    return {
      ...{ modelRow, model, runtime: model.runtime, prompts, close },
      run: (arms, onText) => runArms(parts, arms, onText),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Parts {
  readonly settings: BenchSettings;
  readonly context: JobContext;
  readonly modelRow: ModelRow;
  readonly model: WorkerModel;
  readonly generator: Generator;
  readonly goal: GoalScorer;
  readonly prompts: readonly SweepPrompt[];
  readonly saes: Map<string, { row: SaeRow; sae: WorkerSae }>;
  readonly openSae: (id: string) => Promise<void>;
}

const ALIVE_MS = 5000;

async function runArms(parts: Parts, arms: readonly Arm[], onText: () => void): Promise<ArmOutcome[]> {
  const planned: { arm: Arm; resolved: ResolvedEdit | null }[] = [];
  for (const arm of arms) planned.push({ arm, resolved: arm.edit ? await resolve(parts, arm.edit) : null });
  const generated = await Promise.all(
    planned.map(async ({ arm, resolved }): Promise<GeneratedArm | { failed: string }> => {
      // Started together, so that one batch takes them all; an arm is over when all of its texts are.
      const streams = await Promise.allSettled(
        arm.prompts.map((prompt) => generate(parts, arm, resolved, prompt, onText)),
      );
      const refused = streams.find((one) => one.status === "rejected");
      if (refused) return { failed: failureOf(refused.reason) };
      const texts = streams.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      return { arm, texts, drawn: texts[0]?.drawn ?? null };
    }),
  );
  const { signal, step } = parts.context;
  const stopped = () => new Stopped(signal.reason === "preempt" ? "preempt" : "cancel");
  if (signal.aborted) throw stopped();
  // A judge may take its time.
  const alive = setInterval(() => void step(), ALIVE_MS);
  try {
    const outcomes: ArmOutcome[] = [];
    for (const one of generated) {
      if ("failed" in one) outcomes.push(one);
      else outcomes.push({ texts: await score(parts, one), drawn: one.drawn });
    }
    return outcomes;
  } catch (error) {
    throw signal.aborted ? stopped() : error;
  } finally {
    clearInterval(alive);
  }
}

/** Of a strength beyond float32 the sweep says so and goes on; whatever else throws is a bug, or the client's to mend. */
function failureOf(error: unknown): string {
  if (error instanceof RangeError) return error.message;
  if (!isProblem(error)) throw error;
  if (error.code !== "SELECTION_EMPTY") return error.message;
  const errors = error.errors.map(({ pointer, detail }) => ({
    pointer: pointer.replace("/steering/edits/0", "/input"),
    detail,
  }));
  throw new Problem(error.code, error.message, { errors });
}

interface GeneratedText {
  readonly prompt: number;
  readonly text: string;
  readonly ids: readonly number[];
  readonly change: number;
  readonly drawn: string | null;
}

interface GeneratedArm {
  readonly arm: Arm;
  readonly texts: readonly GeneratedText[];
  readonly drawn: string | null;
}

async function resolve({ context, modelRow, saes, openSae }: Parts, edit: Edit): Promise<ResolvedEdit> {
  const { id, name, layers, dModel, residualNorms } = modelRow;
  const model: KnownModel = { id, name, layers, dModel, residualNorms };
  const { catalog } = context;
  const lookups = { sae: catalog.sae, maxActivation: catalog.maxActivation };
  const [resolved] = await resolveSteering({ lookups, model, maxTokens: null }, { edits: [edit] }, "/input");
  for (const saeId of saeIdsOf([resolved!])) if (!saes.has(saeId)) await openSae(saeId);
  return withMaximum(resolved!, saes);
}

async function generate(
  parts: Parts,
  arm: Arm,
  resolved: ResolvedEdit | null,
  prompt: number,
  onText: () => void,
): Promise<GeneratedText> {
  const { settings, model, generator, context } = parts;
  const { language } = model;
  const { ids, instructedIds } = parts.prompts[prompt]!;
  const promptIds = arm.instructed ? instructedIds! : ids;
  const edits = resolved ? editsOf(parts, arm, resolved, promptIds) : [];
  let text = "";
  let end: GenerationEnd | null = null;
  const stream = generator.add({
    ...{
      promptIds,
      maxTokens: settings.max_tokens,
      temperature: arm.sample === undefined ? settings.temperature : 1,
      edits,
    },
    ...{ topP: 1, topK: 0, repetitionPenalty: 1, stop: [], logprobs: null, signal: context.signal },
    // The arms of a prompt share its seed, so that they differ by the steering alone.
    seed: (settings.seed + prompt + (arm.sample ?? 0) * parts.prompts.length) % Number.MAX_SAFE_INTEGER,
  });
  for await (const event of stream) {
    if (event.type === "delta") text += event.text;
    else end = event;
  }
  if (!end) throw new Stopped("cancel");
  onText();
  const sampled = end.sampledIds;
  const drawn = edits[0]?.drawnFeature;
  return {
    prompt,
    text,
    // A stop token ends a text and is no part of it.
    ids: language.stopTokenIds.has(sampled.at(-1)!) ? sampled.slice(0, -1) : sampled,
    change: end.edits[0]?.meanRelativeChange ?? 0,
    drawn: drawn === undefined ? null : `${resolved!.feature!.sae_id}:${drawn}`,
  };
}

function editsOf(
  { saes, settings, model }: Parts,
  arm: Arm,
  resolved: ResolvedEdit,
  promptIds: Int32Array,
): EngineEdit[] {
  const opened = new Map([...saes].map(([id, { sae }]) => [id, sae.opened]));
  const { tokenizer } = model.language;
  const tokens = { length: promptIds.length, isSpecial: (at: number) => tokenizer.isSpecial(promptIds[at]!) };
  const edits = toEngineEdits([resolved], opened, tokens, settings.max_tokens);
  if (arm.as === "itself") return edits;
  // The same change turned around: of every op, and of a gated one on the same tokens.
  if (arm.as === "negative") return edits.map((edit) => ({ ...edit, c0: -edit.c0, c1: -edit.c1, c2: -edit.c2 }));
  return toControlEdits([resolved], edits, opened, arm.as.seed);
}

async function score(parts: Parts, { texts }: GeneratedArm): Promise<ScoredText[]> {
  const { model, goal, prompts, context } = parts;
  // A text without tokens is not read.
  const written = texts.filter(({ ids }) => ids.length > 0);
  const reads = written.map(({ prompt, ids }) => {
    const before = prompts[prompt]!.ids;
    return { ids: Int32Array.from([...before, ...ids]), from: before.length };
  });
  const readings = new Map<number, TextReading>();
  let at = 0;
  for await (const reading of readTexts(model.language, reads, goal.taps)) {
    readings.set(written[at++]!.prompt, reading);
    await context.step();
  }
  const unread: TextReading = { nats: 0, taps: [] };
  return await inParallel(goal.concurrency, texts, async ({ prompt, text, ids, change }) => {
    const { nats, taps } = readings.get(prompt) ?? unread;
    const mark = await goal.score(text, taps, prompts[prompt]!.text);
    await context.step();
    return {
      ...{ prompt, text, change, nats, tokens: ids.length, goal: mark },
      distinct1: distinctShare(ids, 1),
      distinct2: distinctShare(ids, 2),
      longestRepetition: longestRepetition(ids),
    };
  });
}

/** In the order of the items; the first failure stops what has not begun. */
async function inParallel<Item, Value>(
  count: number,
  items: readonly Item[],
  work: (item: Item) => Promise<Value>,
): Promise<Value[]> {
  const values: Value[] = [];
  let next = 0;
  let failed = false;
  const worker = async () => {
    while (next < items.length && !failed) {
      const index = next++;
      try {
        values[index] = await work(items[index]!);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: count }, worker));
  return values;
}
