/**
 * features.label: a language model elsewhere names features from the examples of their index, and each name is tested on texts that it
 * was not made of. Answers are kept by what was asked: a job that is resumed, or made again, asks only what is missing.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { FeatureDetailsLine } from "../../../domain/feature.ts";
import type { FeaturesLabelSettings } from "../../../domain/feature-label.ts";
import { Problem } from "../../../domain/problem.ts";
import { bytesOf } from "../../bytes.ts";
import {
  type Budget,
  type ChatEndpoint,
  type ChatUsage,
  createBudget,
  createChatEndpoint,
  LimitReached,
} from "../../chat-endpoint.ts";
import type { FeatureEvidence } from "../../records.ts";
import { type JobContext, type JobHandler, Stopped } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";
import { type FeatureQuestions, keyOf, type LabelledFeature, labelFeature, questionsOf } from "./label-feature.ts";
import { type LabelPrompts, readLabelPrompts } from "./label-prompts.ts";
import { type LabelEntry, labelOutput } from "./label-report.ts";
import { findSilentTexts, type SilentTexts } from "./label-silence.ts";

const LOOK_EVERY_MS = 500;
const CHECKPOINT_EVERY_MS = 10_000;
const FEATURES_MEASURED = 64;
/** So many features without one answer that can be read: the model cannot do this, and going on would only cost. */
const HOPELESS_AFTER = 5;

interface Run {
  readonly settings: FeaturesLabelSettings;
  readonly context: JobContext;
  readonly saeDigest: string;
  readonly evidence: FeatureEvidence;
  readonly silence: SilentTexts | null;
  readonly prompts: LabelPrompts;
  readonly endpoint: ChatEndpoint;
  readonly budget: Budget;
  readonly entries: LabelEntry[];
  stoppedBy: LimitReached["limit"] | null;
}

export const featuresLabel: JobHandler<FeaturesLabelSettings> = async (settings, context) => {
  const { endpoint: asked, limit, prices } = settings;
  const sae = await context.catalog.sae(settings.sae_id);
  const evidence = await context.catalog.featureEvidence(sae.id, settings.features);
  const key = asked.secret === undefined ? null : await context.secret(asked.secret, asked.url);
  const budget = createBudget(limit, prices, await spentBefore(context));
  const chat = { ...asked, answerTokens: asked.answer_tokens, timeoutMs: asked.timeout_s * 1000 };
  const run: Run = {
    ...{ settings, context, evidence, budget, entries: [], stoppedBy: null },
    saeDigest: sae.digest,
    silence: settings.test_examples === 0 ? null : await silenceOf(settings, evidence, context),
    prompts: await readLabelPrompts(),
    endpoint: createChatEndpoint(chat, { outbound: context.outbound, budget, key }),
  };
  await labelAll(run);
  return await labelOutput(run);
};

async function silenceOf(
  { sae_id, dataset_id, features, seed }: FeaturesLabelSettings,
  evidence: FeatureEvidence,
  context: JobContext,
): Promise<SilentTexts | null> {
  // Windows are of one size over the whole index; those at the ends of texts are shorter.
  let length = 0;
  for (const feature of evidence.features.slice(0, FEATURES_MEASURED)) {
    const details = await readDetails(evidence, feature, context);
    for (const { tokens } of details?.examples ?? []) length = Math.max(length, tokens.length);
  }
  if (length === 0) return null;
  return await findSilentTexts({ saeId: sae_id, datasetId: dataset_id, features, seed, length }, context);
}

async function readDetails(
  { digest }: FeatureEvidence,
  { offset, length }: FeatureEvidence["features"][number],
  { blobs }: JobContext,
): Promise<FeatureDetailsLine | null> {
  if (digest === null || offset === null || length === null) return null;
  const bytes = await bytesOf(await blobs.get(digest, { start: offset, end: offset + length }));
  return JSON.parse(Buffer.from(bytes).toString("utf8")) as FeatureDetailsLine;
}

/** Several features at a time; the loop below looks at the job's signal, says that it lives and keeps what was spent. */
async function labelAll(run: Run): Promise<void> {
  const { settings, context, entries } = run;
  const waiting = [...run.evidence.features];
  const abort = new AbortController();
  const meter = createProgressMeter(settings.features.length, "features");
  let failure: unknown = null;
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (failure !== null || run.stoppedBy !== null || abort.signal.aborted) return;
      try {
        entries.push(await labelOne(run, next, abort.signal));
        checkHope(entries);
      } catch (error) {
        if (error instanceof LimitReached) run.stoppedBy = error.limit;
        else if (!abort.signal.aborted) failure ??= error;
        return;
      }
    }
  };
  const working = Promise.all(Array.from({ length: settings.endpoint.concurrency }, work)).then(() => true);
  let savedAt = performance.now();
  for (let ended = false; !ended; ) {
    ended = await Promise.race([working, sleep(LOOK_EVERY_MS, false)]);
    context.progress(meter.at(entries.length));
    await context.step();
    if (failure !== null) abort.abort();
    const stops = context.signal.aborted && !ended;
    if (stops) {
      abort.abort();
      await working;
    }
    if (stops || ended || performance.now() - savedAt > CHECKPOINT_EVERY_MS) {
      await context.saveCheckpoint(Buffer.from(JSON.stringify(run.budget.usage)), entries.length);
      savedAt = performance.now();
    }
    if (!stops) continue;
    if (context.signal.reason === "preempt") throw new Stopped("preempt");
    throw new Stopped("cancel", await labelOutput(run));
  }
  if (failure !== null) throw failure;
}

function checkHope(entries: readonly LabelEntry[]): void {
  const unread = entries.filter(({ outcome }) => outcome === "no_answer").length;
  if (unread < HOPELESS_AFTER || entries.some(({ found, cached }) => found !== undefined && !cached)) return;
  const detail = `of ${unread} features none got an answer that could be read`;
  throw new Problem("ENDPOINT_ANSWER_INVALID", detail);
}

async function labelOne(
  run: Run,
  feature: FeatureEvidence["features"][number],
  signal: AbortSignal,
): Promise<LabelEntry> {
  const { settings, context, silence, prompts } = run;
  const { index, label, source } = feature;
  const isKept =
    label !== null && (settings.replace === "none" || (settings.replace === "model" && source !== "model"));
  if (isKept) return { index, outcome: "kept", cached: false };
  const details = await readDetails(run.evidence, feature, context);
  const questions = details && questionsOf({ details, settings, silence, prompts });
  if (questions === null) return { index, outcome: "no_examples", cached: false };
  const { found, cached } = await answered(run, questions, signal);
  if (found === null) return { index, outcome: "no_answer", cached };
  const isEnough = (found.detection?.score ?? 0) >= settings.minimum_score;
  const entry: LabelEntry = { index, outcome: isEnough ? "labelled" : "below_minimum", cached, found };
  context.event("label", { index, outcome: entry.outcome, label: found.label, score: found.detection?.score ?? null });
  return entry;
}

/** The answers to these questions, from an earlier job of the workspace where one asked the same. */
async function answered(
  run: Run,
  questions: FeatureQuestions,
  signal: AbortSignal,
): Promise<{ found: LabelledFeature | null; cached: boolean }> {
  const { context, prompts, settings } = run;
  const { url, model, temperature, answer_tokens } = settings.endpoint;
  const key = keyOf(questions, prompts, { url, model, temperature, answer_tokens, sae: run.saeDigest });
  const [known] = await context.measured.find([key]);
  if (known) {
    const bytes = await bytesOf(await context.blobs.get(known.blob.digest));
    return { found: JSON.parse(Buffer.from(bytes).toString("utf8")) as LabelledFeature, cached: true };
  }
  const found = await labelFeature(questions, prompts, run.endpoint, signal);
  if (found !== null) {
    const blob = await context.blobs.put(Buffer.from(JSON.stringify(found)));
    await context.measured.keep({ key, blob, saeDigest: run.saeDigest, datasetDigest: null });
  }
  return { found, cached: false };
}

async function spentBefore({ checkpoint, blobs }: JobContext): Promise<ChatUsage> {
  if (checkpoint === null) return { requests: 0, input: 0, output: 0 };
  return JSON.parse(Buffer.from(await bytesOf(await blobs.get(checkpoint.digest))).toString("utf8")) as ChatUsage;
}
