// What an API process hands to an interactive worker, and what the worker hands back: the input and the events of one
// request. Both travel as JSON through Postgres.
import { type Static, Type } from "typebox";
import { ChatMessage, experimentRoles, finishReasons } from "./completion.ts";
import { ProblemDetails } from "./problem.ts";
import { EncodedText } from "./sae.ts";
import { nullable, oneOf } from "./schema.ts";
import { Apply, controls, SteeringReport, steeringOps, steeringUnits } from "./steering.ts";

/** A feature with everything that the database knows about it. */
const ResolvedFeature = Type.Object({
  sae_id: Type.String(),
  index: Type.Integer(),
  layer: Type.Integer(),
});

/** An edit whose names are looked up and whose laws are checked. Only ‖d‖, which needs the weights, is still open. */
export const ResolvedEdit = Type.Object({
  layer: Type.Integer(),
  feature: nullable(ResolvedFeature),
  vector: nullable(Type.Array(Type.Number())),
  op: oneOf(steeringOps),
  value: nullable(Type.Number()),
  unit: nullable(oneOf(steeringUnits)),
  /** m_n of the model at this layer */
  residual_norm: nullable(Type.Number()),
  /** a_f where the database has it; the worker looks into the sae's index otherwise */
  max_activation: nullable(Type.Number()),
  apply: Apply,
  gate: nullable(Type.Object({ feature: ResolvedFeature, above: Type.Number() })),
});
export type ResolvedEdit = Static<typeof ResolvedEdit>;

/** One text to be generated: a choice of the response. */
export const Sequence = Type.Object({
  choice: Type.Integer({ minimum: 0 }),
  /** index into `prompts`; 0 for chat */
  prompt: Type.Integer({ minimum: 0 }),
  /** null on requests without steering */
  role: nullable(oneOf(experimentRoles)),
  seed: Type.Integer(),
});
export type Sequence = Static<typeof Sequence>;

export const CompletionInput = Type.Object({
  kind: Type.Literal("completion"),
  model_id: Type.String(),
  /** texts or token ids; null on chat requests */
  prompts: nullable(Type.Array(Type.Union([Type.String(), Type.Array(Type.Integer())]))),
  /** chat: the worker applies the model's chat template */
  messages: nullable(Type.Array(ChatMessage)),
  chat_template_kwargs: Type.Record(Type.String(), Type.Unknown()),
  sequences: Type.Array(Sequence, { minItems: 1 }),
  /** null: to the end of the context */
  max_tokens: nullable(Type.Integer({ minimum: 1 })),
  temperature: Type.Number(),
  top_p: Type.Number(),
  /** 0 keeps every token */
  top_k: Type.Integer(),
  repetition_penalty: Type.Number(),
  stop: Type.Array(Type.String()),
  /** how many alternatives per token; null: no log-probabilities at all */
  logprobs: nullable(Type.Integer()),
  steering: nullable(
    Type.Object({
      edits: Type.Array(ResolvedEdit),
      control: nullable(oneOf(controls)),
    }),
  ),
});
export type CompletionInput = Static<typeof CompletionInput>;

export const EncodeInput = Type.Object({
  kind: Type.Literal("encode"),
  model_id: Type.String(),
  sae_id: Type.String(),
  texts: Type.Array(Type.String()),
});
export type EncodeInput = Static<typeof EncodeInput>;

export const RequestInput = Type.Union([CompletionInput, EncodeInput]);
export type RequestInput = Static<typeof RequestInput>;

/** One generated token with its log-probability (natural logarithm) and the most likely alternatives. */
export const TokenLogprobEvent = Type.Object({
  token: Type.String(),
  token_id: Type.Integer(),
  bytes: Type.Array(Type.Integer()),
  /** a special token: no part of the text */
  special: Type.Optional(Type.Boolean()),
  logprob: Type.Number(),
  top: Type.Array(
    Type.Object({
      token: Type.String(),
      token_id: Type.Integer(),
      bytes: Type.Array(Type.Integer()),
      logprob: Type.Number(),
    }),
  ),
});
export type TokenLogprobEvent = Static<typeof TokenLogprobEvent>;

export const StartedData = Type.Object({
  /** tokens of each prompt, in order */
  prompt_tokens: Type.Array(Type.Integer()),
  /** e.g. "onnxruntime-1.30.0-cpu"; shown as system_fingerprint */
  runtime: Type.String(),
});
export const DeltaData = Type.Object({
  choice: Type.Integer(),
  text: Type.String(),
  logprobs: Type.Optional(Type.Array(TokenLogprobEvent)),
});
export const ChoiceEndedData = Type.Object({
  choice: Type.Integer(),
  finish_reason: oneOf(finishReasons),
  completion_tokens: Type.Integer(),
  /** tokens of its prompt that were known from an earlier request */
  cached_tokens: Type.Optional(Type.Integer()),
  steering_report: Type.Optional(SteeringReport),
});
export const EncodedData = Type.Object({ text: Type.Integer(), result: EncodedText });
/** Written by the platform when a request is finished; `error` is a problem body when it failed. */
export const EndData = Type.Object({
  state: oneOf(["succeeded", "failed", "canceled"]),
  error: Type.Optional(nullable(ProblemDetails)),
});

/** The first event of a request is `started`, or its end: until then the API can still answer with an error status.
 *  A delta of a choice comes before its `choice_ended`; encoded texts may come in any order. */
export const RequestEvent = Type.Union([
  Type.Object({ type: Type.Literal("started"), data: StartedData }),
  Type.Object({ type: Type.Literal("delta"), data: DeltaData }),
  Type.Object({ type: Type.Literal("choice_ended"), data: ChoiceEndedData }),
  Type.Object({ type: Type.Literal("encoded"), data: EncodedData }),
  Type.Object({ type: Type.Literal("end"), data: EndData }),
]);
export type RequestEvent = Static<typeof RequestEvent>;
