/**
 * steering.batch: a file of completions. Its lines pass through the code that serves requests, as many at a time as
 * the running batch takes; what a line is refused for is that line's own, and the others never hear of it.
 */
import { createHash } from "node:crypto";
import type { Usage } from "../../../domain/completion.ts";
import { chatBody } from "../../../domain/generation/chat-body.ts";
import { addEvent, emptyAnswer } from "../../../domain/generation/choices.ts";
import { completionBody } from "../../../domain/generation/completion-body.ts";
import { chatInput, completionInput, type Generation } from "../../../domain/generation/input.ts";
import type { Lookups } from "../../../domain/generation/lookups.ts";
import { newId } from "../../../domain/id.ts";
import { fieldProblem, isProblem, Problem, toOpenAIError } from "../../../domain/problem.ts";
import {
  type BatchLine,
  type BatchOutputLine,
  type BatchRequest,
  batchRequest,
  customIdOf,
  parseBatchLine,
  type SteeringBatchInput,
  type SteeringBatchResult,
} from "../../../domain/steering-batch.ts";
import { createGenerators, type Generators } from "../../generators.ts";
import { createLookups, rememberingCatalog } from "../../lookups.ts";
import type { JobOutput, ProducedArtifact } from "../../protocol.ts";
import { runCompletion } from "../../run-completion.ts";
import { createCheckpointClock } from "../checkpoint-clock.ts";
import { type JobContext, type JobHandler, Stopped } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";
import { type BatchLines, openBatchLines } from "./batch-lines.ts";
import { type BatchResults, openBatchResults } from "./batch-results.ts";

interface Batch {
  readonly input: SteeringBatchInput;
  readonly context: JobContext;
  readonly lookups: Lookups;
  readonly generators: Generators;
  readonly lines: BatchLines;
  readonly results: BatchResults;
  /** Rows by custom_id, of the lines looked at so far. */
  readonly seen: Map<string, number>;
  /** Aborted when the job is stopped, and when it fails. */
  readonly signal: AbortSignal;
}

/** A line that is a request, with what a worker is asked to generate for it. */
interface Ready {
  readonly index: number;
  readonly line: BatchLine;
  readonly url: BatchRequest["url"];
  readonly generation: Generation;
}

export const steeringBatch: JobHandler<SteeringBatchInput> = async (input, given) => {
  const context: JobContext = { ...given, catalog: rememberingCatalog(given.catalog) };
  const { maxBatch, cacheBytes } = context.settings;
  const lines = await openBatchLines(input, context);
  const results = await openBatchResults(context);
  const onForward = () => void context.step();
  const generators = createGenerators({ maxBatch, cacheBytes, onForward });
  const lookups = createLookups(context.catalog);
  const seen = new Map<string, number>();
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  try {
    const batch: Batch = { input, context, lookups, generators, lines, results, seen, signal };
    await runLines(batch, failed);
    if (!context.signal.aborted) return await outputOf(batch);
    await results.saveCheckpoint();
    const reason = context.signal.reason === "preempt" ? "preempt" : "cancel";
    throw new Stopped(reason, reason === "cancel" ? await outputOf(batch) : null);
  } finally {
    generators.close();
    results.close();
    await lines.close();
  }
};

async function runLines(batch: Batch, failed: AbortController): Promise<void> {
  const { context, lines } = batch;
  const texts = 2 * context.settings.maxBatch;
  const running = new Map<Promise<void>, number>();
  const load = () => [...running.values()].reduce((sum, count) => sum + count, 0);
  const ended = createEnding(batch);
  const again: number[] = [];
  try {
    for (let index = 0; index < lines.count && !context.signal.aborted; index++) {
      await context.step();
      const later = () => again.push(index);
      const ready = await prepare(batch, index, later);
      if (!ready) {
        await ended();
        continue;
      }
      const count = ready.generation.input.sequences.length;
      while (running.size > 0 && load() + count > texts) await Promise.race(running.keys());
      const work = runLine(batch, ready, later)
        .then(ended)
        .finally(() => running.delete(work));
      running.set(work, count);
    }
    await Promise.all(running.keys());
  } catch (error) {
    // The job ends: nothing of it may go on.
    failed.abort();
    await Promise.allSettled(running.keys());
    throw error;
  }
  // Beside the models and saes of others there was no room for theirs, or the database was away for a moment.
  for (const index of again) {
    if (context.signal.aborted) return;
    const ready = await prepare(batch, index, null);
    if (ready) await runLine(batch, ready, null);
    await ended();
  }
}

/** Called after each line: tells how far the batch is, and takes the checkpoints that are due, one at a time. */
function createEnding({ input, context, lines, results }: Batch): () => Promise<void> {
  const meter = createProgressMeter(lines.count, "lines");
  const clock = createCheckpointClock(results.done, input.checkpoint_every_lines);
  let saving: Promise<void> | null = null;
  context.progress(meter.at(results.done));
  return async () => {
    context.progress(meter.at(results.done));
    if (saving || !clock.isDue(results.done)) return;
    const began = performance.now();
    const step = results.done;
    saving = results.saveCheckpoint().finally(() => {
      saving = null;
    });
    await saving;
    clock.saved(step, performance.now() - began);
  };
}

/** Asks for a second try of a line, alone; null: this is it. */
type Later = (() => void) | null;

/** Null for a line that has its end already, or meets it here because it is no request that could be run. */
async function prepare(batch: Batch, index: number, later: Later): Promise<Ready | null> {
  const { input, lines, results, seen } = batch;
  const row = lines.row(index);
  const before = results.at(index);
  if (before) {
    if (before.customId !== null && !seen.has(before.customId)) seen.set(before.customId, row);
    return null;
  }
  let customId: string | null = null;
  let line: BatchLine;
  try {
    const value = await lines.read(index);
    customId = customIdOf(value);
    expectNew(batch, customId, row);
    line = parseBatchLine(value, input);
  } catch (error) {
    fail(batch, index, customId, problemFrom(error, batch), false);
    return null;
  }
  try {
    const request = batchRequest(line);
    return { index, line, url: request.url, generation: await generationOf(batch, request, row) };
  } catch (error) {
    endOrTryLater(batch, index, customId, error, later);
    return null;
  }
}

/** Of every line that has one, so that who was first does not depend on what its line was worth. */
function expectNew({ seen }: Batch, customId: string | null, row: number): void {
  if (customId === null) return;
  const first = seen.get(customId);
  if (first === undefined || first === row) return void seen.set(customId, row);
  throw fieldProblem(
    "VALIDATION_FAILED",
    "/custom_id",
    `the custom_id "${customId}" was given in row ${first} already`,
  );
}

function generationOf({ lookups, context }: Batch, request: BatchRequest, row: number): Promise<Generation> {
  // Drawn by the job and the row: a line that is run again after a crash says the same again.
  const drawSeed = () => createHash("sha256").update(`${context.jobId} ${row}`).digest().readUInt32BE(0);
  return request.url === "/v1/completions"
    ? completionInput(lookups, request.body, drawSeed)
    : chatInput(lookups, request.body, drawSeed);
}

async function runLine(batch: Batch, ready: Ready, later: Later): Promise<void> {
  const { context, generators, results, lines, signal } = batch;
  const { workspaceId, catalog } = context;
  const { index, line, url, generation } = ready;
  const { input, name } = generation;
  const answer = emptyAnswer(input);
  try {
    const emit = (event: Parameters<typeof addEvent>[1]) => void addEvent(answer, event);
    await runCompletion({ input, workspaceId, catalog, opener: context, generators, signal, emit });
  } catch (error) {
    if (signal.aborted) return;
    return endOrTryLater(batch, index, line.customId, error, later);
  }
  // Stopped before its end: it is run again when the batch goes on.
  if (answer.choices.some((choice) => choice.finishReason === null)) return;
  const requestId = newId("request");
  const head = { created: Math.floor(Date.now() / 1000), model: name };
  const id = requestId.replace(/^req_/, "");
  const body =
    url === "/v1/completions"
      ? completionBody({ id: `cmpl-${id}`, ...head }, answer)
      : chatBody({ id: `chatcmpl-${id}`, ...head }, answer);
  const response = { status_code: 200, request_id: requestId, body };
  const written = { id: `batch_req_${id}`, custom_id: line.customId, row: lines.row(index), response, error: null };
  results.add({ index, line: written, usage: body.usage as Usage });
}

/** A second try is for what may be no fault of the line's: room that others take, and whatever is not a problem of ours to tell. */
function endOrTryLater(batch: Batch, index: number, customId: string | null, error: unknown, later: Later): void {
  const isOwn = isProblem(error) && error.code !== "MEMORY_INSUFFICIENT";
  if (!isOwn && later) later();
  else fail(batch, index, customId, problemFrom(error, batch));
}

/** `isRequest`: as far as its line could be read; the answer is then the one that its route would have given. */
function fail(
  { results, lines }: Batch,
  index: number,
  customId: string | null,
  problem: Problem,
  isRequest = true,
): void {
  const requestId = newId("request");
  const body = toOpenAIError(problem);
  const { message, param } = body.error;
  const line: BatchOutputLine = {
    id: requestId.replace(/^req_/, "batch_req_"),
    custom_id: customId,
    row: lines.row(index),
    ...(isRequest
      ? { response: { status_code: problem.status, request_id: requestId, body }, error: null }
      : { response: null, error: { code: problem.code, message, param } }),
  };
  results.add({ index, line, usage: null });
}

/** A bug of ours ends its line, as it would end a request, and is told to the log alone. */
function problemFrom(error: unknown, { context }: Batch): Problem {
  if (isProblem(error)) return error;
  context.log.error({ err: error, job: context.jobId }, "a line of a batch threw");
  return new Problem("INTERNAL_ERROR");
}

async function outputOf({ context, lines, results }: Batch): Promise<JobOutput> {
  const artifacts: ProducedArtifact[] = [];
  const put = async (name: string, which: "completed" | "failed"): Promise<string | null> => {
    if (results[which] === 0) return null;
    const id = newId("artifact");
    const blob = await context.blobs.put(results.lines(which));
    artifacts.push({ id, name, contentType: "application/jsonl", blob });
    return id;
  };
  const { completed, failed, usage } = results;
  const result: SteeringBatchResult = {
    output_artifact_id: await put("output.jsonl", "completed"),
    error_artifact_id: await put("errors.jsonl", "failed"),
    request_counts: { total: lines.count, completed, failed },
    usage,
  };
  // What a canceled job keeps: its result is told of a job that succeeded only.
  return { result: { ...result }, metrics: { ...result.request_counts, ...usage }, artifacts };
}
