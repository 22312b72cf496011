// A conversation as the text that the model was trained on, by the template of its own tokenizer_config.json.

import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { readOptionalText } from "../../formats/optional-text.ts";
import { withinTime } from "./time-limit.ts";

/** A template of the longest chat takes milliseconds. */
const templateLimitMs = 3_000;

export interface ChatTurn {
  readonly role: string;
  readonly content: string;
}

/** The template refused the conversation (templates raise exceptions of their own; the message is the template's), or did not end. */
export class ChatTemplateError extends Error {
  override readonly name = "ChatTemplateError";
}

export type ChatRenderer = (turns: readonly ChatTurn[], variables?: Readonly<Record<string, unknown>>) => string;

/** The template of the folder: chat_template.jinja when it exists, else the config's; null when there is none. */
export async function readChatTemplate(
  folder: string,
  tokenizerConfig: Readonly<Record<string, unknown>>,
): Promise<ChatRenderer | null> {
  const source = (await readOptionalText(join(folder, "chat_template.jinja"))) ?? templateOf(tokenizerConfig);
  return source === null ? null : createChatRenderer(source, tokenizerConfig);
}

/** `chat_template` is a string, or a list of named ones of which "default" is for plain chats. */
function templateOf(config: Readonly<Record<string, unknown>>): string | null {
  const value = config.chat_template;
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return null;
  const named = value.find((item) => (item as { name?: unknown })?.name === "default") as
    | { template?: unknown }
    | undefined;
  return typeof named?.template === "string" ? named.template : null;
}

/** `limitMs`: how long the template may take. */
export function createChatRenderer(
  source: string,
  tokenizerConfig: Readonly<Record<string, unknown>>,
  limitMs = templateLimitMs,
): ChatRenderer {
  const template = guarded("the chat template could not be parsed", limitMs, () => new Template(source));
  const specials = Object.fromEntries(
    ["bos_token", "eos_token", "pad_token", "unk_token"].map((name) => [name, tokenText(tokenizerConfig[name])]),
  );
  return (turns, variables = {}) =>
    guarded("the chat template refused the messages", limitMs, () =>
      template.render({ ...specials, add_generation_prompt: true, ...variables, messages: turns }),
    );
}

/** Special tokens are written as strings or as objects with `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : undefined;
}

function guarded<T>(what: string, limitMs: number, run: () => T): T {
  try {
    return withinTime(limitMs, run);
  } catch (error) {
    throw new ChatTemplateError(`${what}: ${(error as Error).message}`);
  }
}
