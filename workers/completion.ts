/**
 * One completion request inside the device: prompts become ids, edits become vectors, every sequence joins the
 * model's running batch, and what comes out becomes the request's events.
 */
import type { FinishReason } from "../domain/completion.ts";
import { fieldProblem, Problem } from "../domain/problem.ts";
import type { CompletionInput, RequestEvent, ResolvedEdit, Sequence, TokenLogprobEvent } from "../domain/request.ts";
import type { SteeringReport } from "../domain/steering.ts";
import { ChatTemplateError } from "../engine/llm/chat-template.ts";
import { CacheTooLargeError, type GenerationEvent } from "../engine/llm/generation.ts";
import type { GeneratedToken, GenerationEnd, Generator } from "../engine/llm/generator.ts";
import type { LanguageModel } from "../engine/llm/model.ts";
import { SteeringOverflowError } from "../engine/llm/steering.ts";
import type { Tokenizer } from "../engine/llm/tokenizer.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { WorkerModel, WorkerSae } from "./open-models.ts";
import type { ModelRow, SaeRow } from "./records.ts";
import { type EngineEdit, toControlEdits, toEngineEdits } from "./steering.ts";
import { countInTopK } from "./top-k-report.ts";

export interface CompletionParts {
  readonly input: CompletionInput;
  /** What was computed for a prompt is used again within one workspace. */
  readonly workspaceId: string;
  readonly row: ModelRow;
  readonly model: WorkerModel;
  readonly generator: Generator;
  /** The same model for whole passes, each of whose forwards waits for its turn. */
  readonly inTurn: LanguageModel;
  /** The saes that the edits name, by id. */
  readonly saes: ReadonlyMap<string, { readonly row: SaeRow; readonly sae: WorkerSae }>;
  readonly signal: AbortSignal;
  readonly emit: (event: RequestEvent) => void;
}

export async function complete(parts: CompletionParts): Promise<void> {
  const { input, model, emit } = parts;
  const prompts = promptIds(input, model);
  const planned = input.sequences.map((sequence) => {
    const prompt = prompts[sequence.prompt];
    if (!prompt) throw new Error(`sequence ${sequence.choice} names prompt ${sequence.prompt} of ${prompts.length}`);
    const maxTokens = roomFor(prompt, input, parts.row.context);
    return { sequence, prompt, maxTokens, ...editsOf(sequence, prompt, maxTokens, parts) };
  });
  // One that is refused, or fails later, takes the others of its request out of the batch.
  const together = new AbortController();
  const signal = AbortSignal.any([parts.signal, together.signal]);
  try {
    const streams = planned.map((plan) => join(plan, parts, signal));
    // From here on the answer has begun: whatever could be refused has been.
    emit({ type: "started", data: { prompt_tokens: prompts.map((ids) => ids.length), runtime: model.runtime } });
    await Promise.all(planned.map((plan, index) => generate(plan, streams[index]!, parts)));
  } catch (error) {
    together.abort();
    throw refusalOf(error);
  }
}

/** What the engine found out is the request's own doing. */
function refusalOf(error: unknown): unknown {
  if (error instanceof CacheTooLargeError) return new Problem("MEMORY_INSUFFICIENT", error.message);
  if (!(error instanceof SteeringOverflowError)) return error;
  return fieldProblem("STEERING_OVERFLOW", `/steering/edits/${error.edit}`, error.message);
}

function promptIds(input: CompletionInput, model: WorkerModel): Int32Array[] {
  if (input.messages !== null) return [chatIds(input.messages, input.chat_template_kwargs, model)];
  const { vocabulary } = model.language.config;
  return (input.prompts ?? []).map((prompt, index) => {
    const ids = typeof prompt === "string" ? model.encode(prompt) : Int32Array.from(prompt);
    const pointer = (input.prompts?.length ?? 0) > 1 ? `/prompt/${index}` : "/prompt";
    const beyond = ids.find((id) => id >= vocabulary);
    if (beyond !== undefined) {
      throw fieldProblem("VALIDATION_FAILED", pointer, `token id ${beyond} is outside the vocabulary of ${vocabulary}`);
    }
    return expectTokens(ids, pointer);
  });
}

function expectTokens(ids: Int32Array, pointer: string): Int32Array {
  if (ids.length > 0) return ids;
  throw fieldProblem("VALIDATION_FAILED", pointer, "the prompt has 0 tokens; at least 1 is needed");
}

function chatIds(
  messages: NonNullable<CompletionInput["messages"]>,
  variables: Readonly<Record<string, unknown>>,
  model: WorkerModel,
): Int32Array {
  const { renderChat } = model.language;
  if (!renderChat) {
    throw fieldProblem("UNSUPPORTED_PARAMETER", "/messages", "the model has no chat template; use /v1/completions");
  }
  const turns = messages.map(({ role, content }) => ({
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map((part) => part.text).join(""),
  }));
  try {
    // The template writes the special tokens itself.
    return expectTokens(model.encodeRendered(renderChat(turns, variables)), "/messages");
  } catch (error) {
    if (error instanceof ChatTemplateError) throw fieldProblem("VALIDATION_FAILED", "/messages", error.message);
    throw error;
  }
}

/** Tokens that may be generated; throws when the prompt leaves no room for what was asked. */
function roomFor(prompt: Int32Array, input: CompletionInput, context: number): number {
  const room = context - prompt.length;
  const wanted = input.max_tokens ?? Math.max(room, 1);
  if (wanted <= room) return wanted;
  const pointer = input.messages ? "/messages" : "/prompt";
  const asked = input.max_tokens === null ? "" : ` and ${input.max_tokens} more were asked for`;
  const detail = `the prompt has ${prompt.length} tokens${asked}; the model's context is ${context}`;
  throw fieldProblem("CONTEXT_LENGTH_EXCEEDED", pointer, detail);
}

interface Edits {
  readonly resolved: readonly ResolvedEdit[];
  readonly edits: readonly EngineEdit[];
}

function editsOf(sequence: Sequence, prompt: Int32Array, maxTokens: number, parts: CompletionParts): Edits {
  const { input, model, saes } = parts;
  if (!input.steering || sequence.role === null || sequence.role === "baseline") return { resolved: [], edits: [] };
  const resolved = input.steering.edits.map((edit) => withMaximum(edit, saes));
  const opened = new Map([...saes].map(([id, { sae }]) => [id, sae.opened]));
  const { tokenizer } = model.language;
  const tokens = { length: prompt.length, isSpecial: (position: number) => tokenizer.isSpecial(prompt[position]!) };
  const edits = toEngineEdits(resolved, opened, tokens, maxTokens);
  if (sequence.role === "steered") return { resolved, edits };
  return { resolved, edits: toControlEdits(resolved, edits, opened, sequence.seed) };
}

/** a_f from the sae's own statistics where the database had none. */
export function withMaximum(edit: ResolvedEdit, saes: CompletionParts["saes"]): ResolvedEdit {
  if (edit.unit !== "max_activation" || edit.max_activation !== null || !edit.feature) return edit;
  const measured = saes.get(edit.feature.sae_id)?.sae.statistics?.maxActivation_F[edit.feature.index];
  // A feature that was never seen active has no maximum to speak of.
  return measured ? { ...edit, max_activation: measured } : edit;
}

interface Plan extends Edits {
  readonly sequence: Sequence;
  readonly prompt: Int32Array;
  readonly maxTokens: number;
}

function join(
  plan: Plan,
  { input, generator, workspaceId }: CompletionParts,
  signal: AbortSignal,
): AsyncIterable<GenerationEvent> {
  return generator.add({
    promptIds: plan.prompt,
    // Without a wish the generator decides how much of the context its cache can hold.
    maxTokens: input.max_tokens === null ? null : plan.maxTokens,
    temperature: input.temperature,
    topP: input.top_p,
    topK: input.top_k,
    repetitionPenalty: input.repetition_penalty,
    stop: input.stop,
    seed: plan.sequence.seed,
    logprobs: input.logprobs,
    edits: plan.edits,
    prefixScope: workspaceId,
    signal,
  });
}

async function generate(plan: Plan, stream: AsyncIterable<GenerationEvent>, parts: CompletionParts): Promise<void> {
  const { input, signal, emit, model } = parts;
  const { choice } = plan.sequence;
  for await (const event of stream) {
    if (event.type === "end") return await end(plan, event, parts);
    const logprobs =
      input.logprobs === null ? undefined : event.tokens.map((token) => logprobOf(token, model.language.tokenizer));
    emit({ type: "delta", data: { choice, text: event.text, ...(logprobs ? { logprobs } : {}) } });
  }
  if (!signal.aborted) throw new Problem("INTERNAL_ERROR", "the generation ended without an end");
}

async function end(plan: Plan, event: GenerationEnd, parts: CompletionParts) {
  // The baseline of an experiment has a report too: no edits, but a fingerprint to find its text by.
  const report = plan.sequence.role === null ? null : await reportOf(plan, event, parts);
  parts.emit({
    type: "choice_ended",
    data: {
      choice: plan.sequence.choice,
      finish_reason: event.finishReason satisfies FinishReason,
      completion_tokens: event.completionTokens,
      cached_tokens: event.cachedTokens,
      ...(report ? { steering_report: report } : {}),
    },
  });
}

async function reportOf(plan: Plan, event: GenerationEnd, parts: CompletionParts): Promise<SteeringReport> {
  const { row, model, saes, input, inTurn } = parts;
  // The last sampled token was never fed back, so no edit has touched it.
  const inTopK = await countInTopK({ ...plan, resolved: asDrawn(plan) }, event.sampledIds.slice(0, -1), inTurn, saes);
  return {
    edits: plan.resolved.map((edit, index) => {
      const counted = event.edits[index]!;
      return {
        edit: index,
        layer: edit.layer,
        prompt_tokens: counted.promptTokens,
        generated_tokens: counted.generatedTokens,
        mean_relative_change: counted.meanRelativeChange,
        gate_open_tokens: edit.gate ? counted.gateOpenTokens : null,
        in_top_k_tokens: inTopK[index]!,
      };
    }),
    fingerprint: fingerprintOf({
      row,
      saes,
      input,
      edits: plan.resolved,
      sequence: plan.sequence,
      runtime: model.runtime,
    }),
    determinism: model.runtime.includes("-cpu-") ? "exact" : "best_effort",
  };
}

/** The edits with the features that they move along: those of the control arm were drawn. */
function asDrawn({ resolved, edits }: Edits): ResolvedEdit[] {
  return resolved.map((edit, index) => {
    const drawn = edits[index]?.drawnFeature;
    return edit.feature && drawn !== undefined ? { ...edit, feature: { ...edit.feature, index: drawn } } : edit;
  });
}

function logprobOf(token: GeneratedToken, tokenizer: Tokenizer): TokenLogprobEvent {
  const describe = ({ id, logprob }: { id: number; logprob: number }) => ({
    token: tokenizer.textOf(id),
    token_id: id,
    bytes: [...tokenizer.bytesOf(id)],
    logprob,
  });
  const special = tokenizer.isSpecial(token.id) ? { special: true } : {};
  return { ...describe(token), ...special, top: token.top.map(describe) };
}
