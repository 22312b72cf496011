// Completions in OpenAI's shapes, with `steering` on top.
import { type Static, type TSchema, Type } from "typebox";
import { type FieldError, Problem } from "./problem.ts";
import { closed, IdOrName, nullable, oneOf } from "./schema.ts";
import { Steering, SteeringReport } from "./steering.ts";

export const maximumSequences = 64;

/** Parameters of OpenAI's API that we know and do not support: accepted only at the values that change nothing. */
const neutralForBoth: Record<string, readonly unknown[]> = {
  frequency_penalty: [0],
  presence_penalty: [0],
  logit_bias: [{}],
  service_tier: ["auto", "default"],
  store: [false],
};
export const neutralForCompletions: Record<string, readonly unknown[]> = {
  ...neutralForBoth,
  best_of: [1],
  echo: [false],
  suffix: [""],
};
export const neutralForChat: Record<string, readonly unknown[]> = {
  ...neutralForBoth,
  audio: [],
  function_call: ["none", "auto"],
  functions: [[]],
  modalities: [["text"]],
  moderation: [],
  parallel_tool_calls: [true, false],
  prediction: [],
  prompt_cache_key: [""],
  prompt_cache_options: [],
  prompt_cache_retention: [],
  reasoning_effort: ["none"],
  response_format: [{ type: "text" }],
  safety_identifier: [""],
  tool_choice: ["none", "auto"],
  tools: [[]],
  verbosity: ["medium"],
  web_search_options: [],
};

function neutralFields(table: Record<string, readonly unknown[]>): Record<string, TSchema> {
  return Object.fromEntries(
    Object.entries(table).map(([name, values]) => [
      name,
      Type.Optional(
        Type.Unknown({
          description: `Not supported: accepted absent, null${values.map((value) => `, ${JSON.stringify(value)}`).join("")}.`,
        }),
      ),
    ]),
  );
}

/** Throws UNSUPPORTED_PARAMETER for a parameter that is known, not supported and not neutral. */
export function refuseUnsupported(body: object, table: Record<string, readonly unknown[]>): void {
  const errors: FieldError[] = [];
  for (const [name, value] of Object.entries(body)) {
    const neutral = table[name];
    if (!neutral || value === null || value === undefined) continue;
    // With as many drawn as are returned, the best of them are all of them.
    if (name === "best_of" && value === ((body as { n?: number | null }).n ?? 1)) continue;
    if (neutral.some((one) => JSON.stringify(one) === JSON.stringify(value))) continue;
    errors.push({ pointer: `/${name}`, detail: `${name} is not supported; leave it out` });
  }
  if (errors.length > 0) throw new Problem("UNSUPPORTED_PARAMETER", errors[0]?.detail, { errors });
}

const sampling = {
  model: IdOrName,
  temperature: Type.Optional(
    nullable(Type.Number({ minimum: 0, maximum: 2, description: "0 is greedy; 1 if absent" })),
  ),
  top_p: Type.Optional(
    nullable(Type.Number({ minimum: 0, maximum: 1, description: "1 if absent; 0 keeps the most likely token only" })),
  ),
  top_k: Type.Optional(
    nullable(Type.Integer({ minimum: 0, maximum: 1_000_000, description: "0 (if absent) keeps every token" })),
  ),
  repetition_penalty: Type.Optional(
    nullable(Type.Number({ exclusiveMinimum: 0, maximum: 10, description: "1 (if absent) changes nothing" })),
  ),
  seed: Type.Optional(
    nullable(
      Type.Integer({
        minimum: Number.MIN_SAFE_INTEGER,
        maximum: Number.MAX_SAFE_INTEGER,
        description: "drawn if absent; choice i of n uses seed + i",
      }),
    ),
  ),
  n: Type.Optional(nullable(Type.Integer({ minimum: 1, maximum: 16, description: "1 if absent" }))),
  stop: Type.Optional(
    nullable(
      Type.Union([
        Type.String({ minLength: 1, maxLength: 256 }),
        Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 16 }),
      ]),
    ),
  ),
  stream: Type.Optional(nullable(Type.Boolean())),
  stream_options: Type.Optional(
    nullable(
      closed({
        include_usage: Type.Optional(Type.Boolean()),
        include_obfuscation: Type.Optional(Type.Boolean({ description: "accepted; nothing is obfuscated" })),
      }),
    ),
  ),
  user: Type.Optional(nullable(Type.String({ maxLength: 512, description: "accepted and not used" }))),
  metadata: Type.Optional(
    nullable(Type.Record(Type.String(), Type.Unknown(), { description: "accepted and not used" })),
  ),
  steering: Type.Optional(nullable(Steering)),
};

const MaxTokens = Type.Integer({ minimum: 1, maximum: 1_000_000 });
const TokenIds = Type.Array(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }), { minItems: 1, maxItems: 1_000_000 });
const PromptText = Type.String({ minLength: 1, maxLength: 4_000_000 });

export const CreateCompletion = closed(
  {
    ...sampling,
    prompt: Type.Union(
      [PromptText, TokenIds, Type.Array(PromptText, { minItems: 1 }), Type.Array(TokenIds, { minItems: 1 })],
      { description: "a string, strings, token ids, or lists of token ids" },
    ),
    max_tokens: Type.Optional(nullable(Type.Integer({ minimum: 1, maximum: 1_000_000, description: "16 if absent" }))),
    logprobs: Type.Optional(
      nullable(Type.Integer({ minimum: 0, maximum: 20, description: "also give the most likely tokens, this many" })),
    ),
    ...neutralFields(neutralForCompletions),
    best_of: Type.Optional(Type.Unknown({ description: "Not supported: accepted absent, null, 1, or equal to n." })),
  },
  {
    title: "CreateCompletion",
    examples: [{ model: "demo-small", prompt: "Yesterday morning, my sister", max_tokens: 24, temperature: 0 }],
  },
);
export type CreateCompletion = Static<typeof CreateCompletion>;

const ContentPart = closed({ type: Type.Literal("text"), text: Type.String() });
/** Clients hand an answer's message back as the next turn, with the fields that are empty in every answer of ours. */
const emptyInAnswers = {
  refusal: Type.Optional(Type.Null()),
  audio: Type.Optional(Type.Null()),
  function_call: Type.Optional(Type.Null()),
  tool_calls: Type.Optional(nullable(Type.Array(Type.Unknown(), { maxItems: 0 }))),
  annotations: Type.Optional(nullable(Type.Array(Type.Unknown(), { maxItems: 0 }))),
};
export const ChatMessage = closed(
  {
    role: oneOf(["system", "developer", "user", "assistant"]),
    content: Type.Union([Type.String(), Type.Array(ContentPart, { minItems: 1 })]),
    name: Type.Optional(Type.String({ maxLength: 64 })),
    ...emptyInAnswers,
  },
  { title: "ChatMessage" },
);
export type ChatMessage = Static<typeof ChatMessage>;

export const CreateChatCompletion = closed(
  {
    ...sampling,
    messages: Type.Array(ChatMessage, { minItems: 1, maxItems: 1024 }),
    max_tokens: Type.Optional(nullable(MaxTokens)),
    max_completion_tokens: Type.Optional(
      nullable(Type.Integer({ minimum: 1, maximum: 1_000_000, description: "to the end of the context if absent" })),
    ),
    logprobs: Type.Optional(nullable(Type.Boolean())),
    top_logprobs: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 20 }))),
    chat_template_kwargs: Type.Optional(
      nullable(
        Type.Record(Type.String(), Type.Unknown(), {
          description: "variables for the chat template, e.g. enable_thinking",
        }),
      ),
    ),
    ...neutralFields(neutralForChat),
  },
  {
    title: "CreateChatCompletion",
    examples: [{ model: "demo-small", messages: [{ role: "user", content: "How are you?" }], max_tokens: 32 }],
  },
);
export type CreateChatCompletion = Static<typeof CreateChatCompletion>;

export const finishReasons = ["stop", "length"] as const;
export type FinishReason = (typeof finishReasons)[number];
export const experimentRoles = ["steered", "baseline", "control"] as const;
export type ExperimentRole = (typeof experimentRoles)[number];

const experiment = {
  role_in_experiment: Type.Optional(
    oneOf(experimentRoles, { description: "on steered requests: which arm this text belongs to" }),
  ),
  steering_report: Type.Optional(SteeringReport),
};

export const Usage = Type.Object(
  {
    prompt_tokens: Type.Integer(),
    completion_tokens: Type.Integer(),
    total_tokens: Type.Integer(),
    prompt_tokens_details: Type.Optional(
      Type.Object({
        cached_tokens: Type.Integer({
          description: "tokens of the prompts that did not have to be read again for any of their texts",
        }),
      }),
    ),
  },
  { title: "Usage" },
);
export type Usage = Static<typeof Usage>;

export const CompletionLogprobs = Type.Object(
  {
    tokens: Type.Array(Type.String()),
    token_logprobs: Type.Array(nullable(Type.Number())),
    top_logprobs: nullable(Type.Array(nullable(Type.Record(Type.String(), Type.Number())))),
    text_offset: Type.Array(Type.Integer()),
  },
  { title: "CompletionLogprobs" },
);
export type CompletionLogprobs = Static<typeof CompletionLogprobs>;

const head = {
  id: Type.String(),
  created: Type.Integer(),
  model: Type.String(),
  system_fingerprint: Type.Optional(nullable(Type.String())),
};

export const CompletionChoice = Type.Object(
  {
    index: Type.Integer(),
    text: Type.String(),
    logprobs: nullable(CompletionLogprobs),
    finish_reason: nullable(oneOf(finishReasons)),
    ...experiment,
  },
  { title: "CompletionChoice" },
);

/** The body, and also each chunk of a stream. */
export const Completion = Type.Object(
  {
    ...head,
    object: Type.Literal("text_completion"),
    choices: Type.Array(CompletionChoice),
    usage: Type.Optional(nullable(Usage)),
  },
  {
    title: "Completion",
    examples: [
      {
        id: "cmpl-01jd5xk0m4q8v7w2r3t5y6z8aj",
        object: "text_completion",
        created: 1_795_348_800,
        model: "demo-small",
        system_fingerprint: "onnxruntime-1.30.0-cpu",
        choices: [{ index: 0, text: " went to the market.", logprobs: null, finish_reason: "stop" }],
        usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
      },
    ],
  },
);
export type Completion = Static<typeof Completion>;

const TokenLogprob = Type.Object({
  token: Type.String(),
  logprob: Type.Number(),
  bytes: nullable(Type.Array(Type.Integer())),
});
export const ChatLogprobs = Type.Object(
  {
    content: nullable(
      Type.Array(
        Type.Object({
          token: Type.String(),
          logprob: Type.Number(),
          bytes: nullable(Type.Array(Type.Integer())),
          top_logprobs: Type.Array(TokenLogprob),
        }),
      ),
    ),
    refusal: Type.Null(),
  },
  { title: "ChatLogprobs" },
);
export type ChatLogprobs = Static<typeof ChatLogprobs>;

export const ChatCompletion = Type.Object(
  {
    ...head,
    object: Type.Literal("chat.completion"),
    choices: Type.Array(
      Type.Object({
        index: Type.Integer(),
        message: Type.Object({ role: Type.Literal("assistant"), content: Type.String(), refusal: Type.Null() }),
        logprobs: nullable(ChatLogprobs),
        finish_reason: oneOf(finishReasons),
        ...experiment,
      }),
    ),
    usage: Usage,
  },
  {
    title: "ChatCompletion",
    examples: [
      {
        id: "chatcmpl-01jd5xk0m4q8v7w2r3t5y6z8aj",
        object: "chat.completion",
        created: 1_795_348_800,
        model: "demo-small",
        system_fingerprint: "onnxruntime-1.30.0-cpu",
        choices: [
          {
            index: 0,
            message: { role: "assistant", content: "Well, thank you.", refusal: null },
            logprobs: null,
            finish_reason: "stop",
          },
        ],
        usage: { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 },
      },
    ],
  },
);
export type ChatCompletion = Static<typeof ChatCompletion>;

export const ChatCompletionChunk = Type.Object(
  {
    ...head,
    object: Type.Literal("chat.completion.chunk"),
    choices: Type.Array(
      Type.Object({
        index: Type.Integer(),
        delta: Type.Object({
          role: Type.Optional(Type.Literal("assistant")),
          content: Type.Optional(Type.String()),
        }),
        logprobs: nullable(ChatLogprobs),
        finish_reason: nullable(oneOf(finishReasons)),
        ...experiment,
      }),
    ),
    usage: Type.Optional(nullable(Usage)),
  },
  { title: "ChatCompletionChunk" },
);
export type ChatCompletionChunk = Static<typeof ChatCompletionChunk>;
