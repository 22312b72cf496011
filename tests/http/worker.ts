// A worker without a model: it takes requests from the real queue and writes what the test tells it to write.
import { hostname } from "node:os";
import { newId } from "../../domain/id.ts";
import { Problem, toProblemDetails } from "../../domain/problem.ts";
import type { RequestEvent, RequestInput } from "../../domain/request.ts";
import type { Json } from "../../platform/database.ts";
import type { Platform } from "../../platform/platform.ts";
import { interactiveQueue } from "../../platform/queue.ts";
import type { RequestClaim } from "../../platform/requests.ts";

export type Write = (...events: Exclude<RequestEvent, { type: "end" }>[]) => Promise<{ readonly wanted: boolean }>;
/** A Problem that it throws is the end of the request. */
export type Answerer = (input: RequestInput, write: Write) => Promise<void>;

export interface ScriptedWorker {
  /** What it was asked, oldest first. */
  readonly inputs: RequestInput[];
  answer: Answerer;
  stop(): Promise<void>;
}

export async function scriptedWorker(platform: Platform, modelId: string, answer: Answerer): Promise<ScriptedWorker> {
  const id = newId("worker");
  const queue = interactiveQueue(modelId);
  const worker: ScriptedWorker = { inputs: [], answer, stop };
  await platform.queue.ensure(queue);
  const description = {
    class: "interactive",
    device: "cpu",
    hostname: hostname(),
    pid: process.pid,
    version: "test",
  } as const;
  await platform.workers.register({ id, ...description, queues: [queue], capability: {} });
  const consumer = await platform.queue.consume({ queues: [queue], concurrency: 4 }, async (delivery) => {
    const claim = await platform.requests.admit(delivery, id);
    if (claim !== null) await serve(claim);
  });
  return worker;

  async function serve(claim: RequestClaim): Promise<void> {
    const input = claim.request.input as unknown as RequestInput;
    worker.inputs.push(input);
    const write: Write = (...events) =>
      platform.requests.append(
        claim,
        events.map((event) => ({ type: event.type, data: event.data as unknown as Json })),
      );
    try {
      await worker.answer(input, write);
      await platform.requests.finish(claim, { state: "succeeded" });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      await platform.requests.finish(claim, { state: "failed", error: toProblemDetails(error) });
    }
  }

  async function stop(): Promise<void> {
    await consumer.stop();
    await platform.workers.remove(id);
  }
}

const bytes = (text: string) => [...Buffer.from(text)];

/** One generated token with a log-probability and one alternative. */
export function token(text: string, logprob = -0.5) {
  return {
    token: text,
    token_id: 7,
    bytes: bytes(text),
    logprob,
    top: [{ token: text, token_id: 7, bytes: bytes(text), logprob }],
  };
}

/** Answers every sequence with `{role or "text"} {choice}` in two deltas. */
export const recite: Answerer = async (input, write) => {
  if (input.kind !== "completion") throw new Problem("INTERNAL_ERROR");
  const prompts = input.prompts ?? [""];
  await write({ type: "started", data: { prompt_tokens: prompts.map(() => 3), runtime: "scripted-1" } });
  for (const sequence of input.sequences) {
    const words = [`${sequence.role ?? "text"}`, ` ${sequence.choice}`];
    for (const word of words) {
      const logprobs = input.logprobs === null ? {} : { logprobs: [token(word)] };
      await write({ type: "delta", data: { choice: sequence.choice, text: word, ...logprobs } });
    }
    const report = sequence.role === null ? {} : { steering_report: steeringReport(sequence.role) };
    await write({
      type: "choice_ended",
      data: { choice: sequence.choice, finish_reason: "stop", completion_tokens: 2, ...report },
    });
  }
};

export function steeringReport(fingerprint: string) {
  return {
    edits: [
      {
        edit: 0,
        layer: 1,
        prompt_tokens: 3,
        generated_tokens: 1,
        mean_relative_change: 0.25,
        gate_open_tokens: null,
        in_top_k_tokens: 2,
      },
    ],
    fingerprint,
    determinism: "exact" as const,
  };
}
