// steering.batch: a file of completions, run as one job. Lines are those of OpenAI's batch files, or the body itself with
// a custom_id; what comes out has OpenAI's shape too.
import { type Static, Type } from "typebox";
import { CreateChatCompletion, CreateCompletion, Usage } from "./completion.ts";
import { fieldProblem, Problem } from "./problem.ts";
import { checkSchema, closed, escapePointer, nullable, oneOf, parse } from "./schema.ts";

export const maximumBatchLines = 50_000;
export const maximumBatchBytes = 200 * 2 ** 20;
export const maximumBatchLineBytes = 8 * 2 ** 20;

export const batchUrls = ["/v1/completions", "/v1/chat/completions"] as const;
export type BatchUrl = (typeof batchUrls)[number];

const CustomId = Type.String({ minLength: 1, maxLength: 512 });

export const SteeringBatchInput = closed(
  {
    artifact_id: Type.Optional(
      Type.String({
        description: `an uploaded file of JSON Lines, also gzipped: {"custom_id", "method": "POST", "url", "body"} as in OpenAI's batch files, or {"custom_id", …body}; up to ${maximumBatchLines} lines, ${maximumBatchBytes / 2 ** 20} MiB, ${maximumBatchLineBytes / 2 ** 20} MiB a line`,
      }),
    ),
    dataset_id: Type.Optional(
      Type.String({
        description:
          "instead of a file: a dataset whose samples have a custom_id is read like one; of any other, each sample's text is a prompt, and its custom_id is sample-1, sample-2, …",
      }),
    ),
    url: Type.Optional(
      oneOf(batchUrls, {
        description:
          "of lines that have none; if absent, lines with messages are chat completions and others completions",
      }),
    ),
    body: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: "fields of the request that every line has unless it gives its own, such as model and steering",
      }),
    ),
    checkpoint_every_lines: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: maximumBatchLines,
        description: "a checkpoint after so many lines; every 30 seconds if absent",
      }),
    ),
  },
  {
    title: "SteeringBatchInput",
    examples: [
      {
        artifact_id: "artifact_01jd5xk0m4q8v7w2r3t5y6z8ag",
        body: { model: "demo-small", max_tokens: 24, temperature: 0 },
      },
    ],
  },
);
export type SteeringBatchInput = Static<typeof SteeringBatchInput>;

export const SteeringBatchResult = Type.Object(
  {
    output_artifact_id: nullable(Type.String({ description: "output.jsonl: a line for each that succeeded" })),
    error_artifact_id: nullable(Type.String({ description: "errors.jsonl: a line for each that failed" })),
    request_counts: Type.Object({ total: Type.Integer(), completed: Type.Integer(), failed: Type.Integer() }),
    usage: Usage,
  },
  { title: "SteeringBatchResult" },
);
export type SteeringBatchResult = Static<typeof SteeringBatchResult>;

/** A line of either file, in the order of the lines that were given. */
export interface BatchOutputLine {
  readonly id: string;
  readonly custom_id: string | null;
  /** Counts lines of the file, or samples of the dataset, from 1. */
  readonly row: number;
  /** As the route would have answered; null for what was no request at all. */
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: object } | null;
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null } | null;
}

export type BatchRequest =
  | { readonly url: "/v1/completions"; readonly body: CreateCompletion }
  | { readonly url: "/v1/chat/completions"; readonly body: CreateChatCompletion };

type Defaults = Pick<SteeringBatchInput, "url" | "body">;

const Envelope = closed({
  custom_id: CustomId,
  method: Type.Optional(Type.Literal("POST")),
  url: Type.Optional(oneOf(batchUrls)),
  body: Type.Record(Type.String(), Type.Unknown()),
});

export interface BatchLine {
  readonly customId: string;
  readonly url: BatchUrl;
  readonly body: Record<string, unknown>;
}

/** Also of a line that is otherwise no request. */
export function customIdOf(value: unknown): string | null {
  const id = typeof value === "object" && value !== null ? (value as { custom_id?: unknown }).custom_id : null;
  return checkSchema(CustomId, id).length === 0 ? (id as string) : null;
}

/** @throws Problem where the line is no request: no object, no custom_id, another method or url */
export function parseBatchLine(value: unknown, defaults: Defaults): BatchLine {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Problem("VALIDATION_FAILED", "the line is not a JSON object");
  }
  const { custom_id, method, url, ...rest } = value as Record<string, unknown>;
  const envelope = Object.hasOwn(rest, "body") ? value : dropAbsent({ custom_id, method, url, body: rest });
  const line = parse(Envelope, envelope);
  const body = { ...defaults.body, ...line.body };
  return { customId: line.custom_id, url: line.url ?? defaults.url ?? urlOf(body), body };
}

/** A sample of a dataset as a line: as it stands when it has a custom_id, else its text as the prompt. */
export function sampleAsLine(sample: Readonly<Record<string, unknown>>, row: number, defaults: Defaults): unknown {
  const { text, ...own } = sample;
  // Every sample has a text, made of its prompt or messages.
  if (own.custom_id !== undefined)
    return own.prompt === undefined && own.messages === undefined ? { ...own, prompt: text } : own;
  const custom_id = `sample-${row}`;
  if ((defaults.url ?? urlOf(defaults.body ?? {})) === "/v1/completions") return { custom_id, prompt: text };
  return { custom_id, messages: own.messages ?? [{ role: "user", content: text }] };
}

const urlOf = (body: object): BatchUrl =>
  Object.hasOwn(body, "messages") ? "/v1/chat/completions" : "/v1/completions";

const dropAbsent = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** @throws Problem as the route of the line would have answered; a stream has nobody to read it */
export function batchRequest({ url, body }: BatchLine): BatchRequest {
  const request: BatchRequest =
    url === "/v1/completions"
      ? { url, body: parse(CreateCompletion, body) }
      : { url, body: parse(CreateChatCompletion, body) };
  if (request.body.stream === true) {
    throw fieldProblem("UNSUPPORTED_PARAMETER", "/stream", "a batch has nobody to stream to; leave stream out");
  }
  return request;
}

/** What no line could have is refused when the job is made. */
export function checkBatchBody({ url, body = {} }: Defaults, at: string): void {
  const schemas =
    url === "/v1/completions"
      ? [CreateCompletion]
      : url
        ? [CreateChatCompletion]
        : [CreateCompletion, CreateChatCompletion];
  for (const [name, value] of Object.entries(body)) {
    const here = `${at}/body/${escapePointer(name)}`;
    const known = schemas.find((schema) => Object.hasOwn(schema.properties, name));
    if (!known) throw fieldProblem("VALIDATION_FAILED", here, `${name} is not a field of a completion`);
    parse(known.properties[name as keyof typeof known.properties], value, here);
  }
}
