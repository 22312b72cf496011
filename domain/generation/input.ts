// From a completion's body to what a worker is asked to generate.
import {
  type CreateChatCompletion,
  type CreateCompletion,
  maximumSequences,
  neutralForChat,
  neutralForCompletions,
  refuseUnsupported,
} from "../completion.ts";
import { fieldProblem, Problem } from "../problem.ts";
import type { CompletionInput, Sequence } from "../request.ts";
import { type Edit, maximumEdits, type Steering } from "../steering.ts";
import type { KnownModel, Lookups } from "./lookups.ts";
import { resolveSteering } from "./steering.ts";

export interface Generation {
  /** As the answer calls it: the model's name, or the variant's. */
  readonly name: string;
  readonly input: CompletionInput;
}

/** `drawSeed` is asked where the body has no seed. */
export async function completionInput(
  lookups: Lookups,
  body: CreateCompletion,
  drawSeed = randomSeed,
): Promise<Generation> {
  refuseUnsupported(body, neutralForCompletions);
  const target = await targetOf(lookups, body.model);
  const prompts = listPrompts(body.prompt);
  const maxTokens = body.max_tokens ?? 16;
  return {
    name: target.name,
    input: {
      ...(await shared(lookups, target, body, prompts.length, maxTokens, drawSeed)),
      prompts,
      messages: null,
      chat_template_kwargs: {},
      logprobs: body.logprobs ?? null,
    },
  };
}

export async function chatInput(
  lookups: Lookups,
  body: CreateChatCompletion,
  drawSeed = randomSeed,
): Promise<Generation> {
  refuseUnsupported(body, neutralForChat);
  const target = await targetOf(lookups, body.model);
  if (body.top_logprobs && body.logprobs !== true) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", "/top_logprobs", "top_logprobs needs logprobs to be true");
  }
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? null;
  return {
    name: target.name,
    input: {
      ...(await shared(lookups, target, body, 1, maxTokens, drawSeed)),
      prompts: null,
      messages: body.messages,
      chat_template_kwargs: body.chat_template_kwargs ?? {},
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : null,
    },
  };
}

interface Target {
  readonly name: string;
  readonly model: KnownModel;
  /** A variant's own, before those of the request. */
  readonly edits: readonly Edit[];
}

async function targetOf(lookups: Lookups, given: string): Promise<Target> {
  const model = await lookups.model(given);
  if (model) return { name: model.name, model, edits: [] };
  const variant = await lookups.variant(given);
  if (!variant) throw modelNotFound(given);
  const base = await lookups.model(variant.modelId);
  if (!base) throw modelNotFound(variant.modelId);
  return { name: variant.name, model: base, edits: variant.edits };
}

function modelNotFound(given: string): Problem {
  return new Problem("MODEL_NOT_FOUND", `There is no "${given}" in this workspace.`);
}

/** A variant's edits and then the request's: all of a layer read the same residual, and their changes add up. */
async function editsOf(
  lookups: Lookups,
  { model, edits }: Target,
  steering: Steering | null,
  maxTokens: number | null,
) {
  const target = { lookups, model, maxTokens };
  const count = edits.length + (steering?.edits.length ?? 0);
  if (count > maximumEdits) {
    const detail = `${edits.length} edits of the variant and ${count - edits.length} more are above ${maximumEdits}`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", "/steering/edits", detail);
  }
  const ofVariant = edits.length > 0 ? await resolveSteering(target, { ...steering, edits: [...edits] }, "/model") : [];
  return [...ofVariant, ...(steering ? await resolveSteering(target, steering) : [])];
}

async function shared(
  lookups: Lookups,
  target: Target,
  body: CreateCompletion | CreateChatCompletion,
  prompts: number,
  maxTokens: number | null,
  drawSeed: () => number,
) {
  const asked = body.steering ?? null;
  const edits = await editsOf(lookups, target, asked, maxTokens);
  const steering = edits.length > 0 ? { edits, control: asked?.control ?? null } : null;
  const roles: Sequence["role"][] = steering
    ? [
        "steered",
        ...(asked?.include_baseline ? (["baseline"] as const) : []),
        ...(steering.control ? (["control"] as const) : []),
      ]
    : [null];
  const n = body.n ?? 1;
  if (prompts * n * roles.length > maximumSequences) {
    const detail = `${prompts} prompts × ${n} choices × ${roles.length} arms is above ${maximumSequences} texts a request`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", "/n", detail);
  }
  return {
    kind: "completion" as const,
    model_id: target.model.id,
    sequences: listSequences(roles, prompts, n, body.seed ?? drawSeed()),
    max_tokens: maxTokens,
    temperature: body.temperature ?? 1,
    top_p: body.top_p ?? 1,
    top_k: body.top_k ?? 0,
    repetition_penalty: body.repetition_penalty ?? 1,
    stop: body.stop === undefined || body.stop === null ? [] : typeof body.stop === "string" ? [body.stop] : body.stop,
    steering,
  };
}

/** The steered choices come first, in OpenAI's order (all of prompt 0, all of prompt 1, …), then the other arms in the
 *  same order. The arms of one choice share its seed, so that they differ by the steering alone. */
function listSequences(roles: readonly Sequence["role"][], prompts: number, n: number, seed: number): Sequence[] {
  const sequences: Sequence[] = [];
  for (const role of roles) {
    for (let prompt = 0; prompt < prompts; prompt++) {
      for (let i = 0; i < n; i++) sequences.push({ choice: sequences.length, prompt, role, seed: addSeed(seed, i) });
    }
  }
  return sequences;
}

function addSeed(seed: number, i: number): number {
  return seed > Number.MAX_SAFE_INTEGER - i ? seed - i : seed + i;
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

function listPrompts(prompt: CreateCompletion["prompt"]): (string | number[])[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as number[]] : (prompt as string[] | number[][]);
}
