/** The prompts of a sweep as tokens, each also with the instruction that the prompt-only control puts before it. */
import { join } from "node:path";
import type { Sample } from "../../../domain/dataset.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import { parsePromptTemplate } from "../../../domain/prompt-template.ts";
import type { SteeringSweepSettings } from "../../../domain/sweep.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { WorkerModel } from "../../open-models.ts";
import { openSampleFile } from "../../sample-file.ts";
import { type JobContext, stepOrStop } from "../handler.ts";

export interface SweepPrompt {
  readonly text: string;
  readonly ids: Int32Array;
  /** null: there is no such control */
  readonly instructedIds: Int32Array | null;
}

export type PromptSettings = Pick<
  SteeringSweepSettings,
  "prompts" | "dataset_id" | "where" | "template" | "prompt_limit" | "chat" | "max_tokens" | "seed"
> & { readonly controls: { readonly instruction?: string | undefined } };

export async function readPrompts(
  settings: PromptSettings,
  model: WorkerModel,
  context: JobContext,
): Promise<SweepPrompt[]> {
  const { instruction } = settings.controls;
  const texts = settings.prompts ?? (await promptsOfDataset(settings, context));
  const prompts: SweepPrompt[] = [];
  for (const [index, text] of texts.entries()) {
    const at = settings.prompts ? `/input/prompts/${index}` : "/input/dataset_id";
    const ids = idsOf(text, null, settings, model, at);
    const instructedIds = instruction === undefined ? null : idsOf(text, instruction, settings, model, at);
    prompts.push({ text, ids, instructedIds });
    if (index % 100 === 99) await stepOrStop(context);
  }
  return prompts;
}

function idsOf(
  text: string,
  instruction: string | null,
  { chat, max_tokens }: PromptSettings,
  model: WorkerModel,
  at: string,
): Int32Array {
  const ids = chat
    ? model.encodeRendered(renderChat(text, instruction, model))
    : model.encode(instruction === null ? text : `${instruction}\n${text}`);
  const { contextLength } = model.language.config;
  if (ids.length === 0) throw fieldProblem("VALIDATION_FAILED", at, "the prompt has 0 tokens; at least 1 is needed");
  if (ids.length + max_tokens > contextLength) {
    const detail = `a prompt of ${ids.length} tokens and ${max_tokens} more exceed the model's context of ${contextLength}`;
    throw fieldProblem("CONTEXT_LENGTH_EXCEEDED", at, detail);
  }
  return ids;
}

function renderChat(text: string, instruction: string | null, { language }: WorkerModel): string {
  if (!language.renderChat) {
    throw fieldProblem("UNSUPPORTED_PARAMETER", "/input/chat", "the model has no chat template");
  }
  const system = instruction === null ? [] : [{ role: "system", content: instruction }];
  return language.renderChat([...system, { role: "user", content: text }], {});
}

async function promptsOfDataset(settings: PromptSettings, context: JobContext): Promise<string[]> {
  const { digest } = await context.catalog.dataset(settings.dataset_id!);
  const template = parsePromptTemplate(settings.template ?? "text");
  const file = await openSampleFile(context.blobs, digest, join(context.scratch, "prompts.jsonl"));
  try {
    const chosen: { sample: Sample; row: number }[] = [];
    for (let index = 0; index < file.count; index++) {
      const sample = await file.read(index);
      const isWanted = Object.entries(settings.where ?? {}).every(
        ([column, value]) => String(sample[column]) === value,
      );
      if (isWanted) chosen.push({ sample, row: index + 1 });
      if (index % 1000 === 999) await stepOrStop(context);
    }
    if (chosen.length === 0) throw fieldProblem("DATASET_TOO_SMALL", "/input/where", "no sample has these values");
    const limit = settings.prompt_limit ?? chosen.length;
    const drawn =
      limit < chosen.length ? createRandom(settings.seed).fork("prompts").shuffle(chosen).slice(0, limit) : chosen;
    return drawn.sort((a, b) => a.row - b.row).map(({ sample, row }) => template.render(sample, row));
  } finally {
    await file.close();
  }
}
