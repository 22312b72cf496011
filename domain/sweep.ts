// steering.sweep: features × strengths × prompts, scored for a goal and for side effects, with controls and a verdict.
import { type Static, Type } from "typebox";
import { FeatureRef } from "./sae.ts";
import { closed, IdOrName, nullable, oneOf } from "./schema.ts";
import { Apply, Gate, RawVector, Steering, steeringOps, steeringUnits } from "./steering.ts";
import { SweepGoal } from "./sweep-goal.ts";

export const maximumSweepCells = 2048;
/** Texts of one sweep, controls included. */
export const maximumSweepTexts = 100_000;
/**
 * Prompts that a verdict needs. When steering wins on every one of n prompts, a two-sided sign test gives 2·2⁻ⁿ: of fewer
 * than six not even that is below 5 %, whatever an interval says.
 */
export const fewestJudgedPrompts = 6;

export const SweepPrompts = {
  prompts: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 200_000 }), {
      minItems: 1,
      maxItems: 10_000,
      description: "texts to go on from; or `dataset_id`",
    }),
  ),
  dataset_id: Type.Optional(IdOrName),
  where: Type.Optional(
    Type.Record(Type.String({ minLength: 1, maxLength: 100 }), Type.String({ maxLength: 512 }), {
      minProperties: 1,
      maxProperties: 8,
      description: 'of the dataset, the samples whose columns have these values, e.g. {"language": "en"}',
    }),
  ),
  template: Type.Optional(
    Type.String({ minLength: 1, maxLength: 20_000, description: "of the dataset's prompts, as in benchmark.analyze" }),
  ),
  prompt_limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description: "of the dataset, so many, drawn by `seed`; all if absent",
    }),
  ),
  chat: Type.Optional(
    Type.Boolean({ default: false, description: "prompts are a user's messages, put into the model's chat template" }),
  ),
};

export const SweepSampling = {
  max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 4096, default: 48 })),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 10, default: 0 })),
  seed: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      default: 0,
      description: "of sampling, of the halves, of the random controls and of the intervals",
    }),
  ),
};

export const SweepControls = closed(
  {
    random_features: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 16,
        default: 3,
        description: "how many random features of the same sae, with changes of equal size (of a vector: directions)",
      }),
    ),
    negative_strength: Type.Optional(
      Type.Boolean({ default: true, description: "the same change with its sign turned" }),
    ),
    instruction: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 20_000,
        description:
          "asks for the goal in words, without steering: put before each prompt and a line break; in chats the system message",
      }),
    ),
  },
  { title: "SweepControls", description: "What steering must beat, besides the unsteered model." },
);

export const SweepLimits = closed(
  {
    perplexity_ratio: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        default: 3,
        description: "perplexity of the texts under the unsteered model, over that of the baseline's texts, at most",
      }),
    ),
    distinct_ratio: Type.Optional(
      Type.Number({
        minimum: 0,
        default: 0.5,
        description: "distinct pairs of tokens per pair, over the baseline's, at least: a text that loops has few",
      }),
    ),
    length_ratio: Type.Optional(
      Type.Number({ minimum: 0, default: 0.5, description: "tokens, over the baseline's, at least" }),
    ),
  },
  { title: "SweepLimits", description: "Beyond these the text has suffered." },
);

export const SteeringSweepInput = closed(
  {
    model_id: IdOrName,
    ...SweepPrompts,
    features: Type.Optional(
      Type.Array(FeatureRef, { minItems: 1, maxItems: 512, uniqueItems: true, description: "and/or `vectors`" }),
    ),
    vectors: Type.Optional(Type.Array(RawVector, { minItems: 1, maxItems: 64 })),
    op: Type.Optional(oneOf(steeringOps, { default: "add" })),
    strengths: Type.Optional(
      Type.Array(Type.Number({ minimum: -1e6, maximum: 1e6 }), {
        maxItems: 64,
        uniqueItems: true,
        description: "values of the edit; none for ablate, [1] if absent for project_out",
      }),
    ),
    unit: Type.Optional(
      oneOf(steeringUnits, { description: "residual_norm if absent for add, absolute for set; none for the others" }),
    ),
    apply: Type.Optional(Apply),
    when: Type.Optional(Gate),
    goal: SweepGoal,
    ...SweepSampling,
    controls: Type.Optional(SweepControls),
    limits: Type.Optional(SweepLimits),
    held_out: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 0.9,
        default: 0.5,
        description:
          "share of the prompts on which the best cell is not chosen but judged; 0: judged where it was chosen, which flatters it. A sweep of one cell has nothing to choose and is judged on all",
      }),
    ),
    draws: Type.Optional(
      Type.Integer({ minimum: 100, maximum: 20_000, default: 2000, description: "of prompts, for 95 % intervals" }),
    ),
  },
  {
    title: "SteeringSweepInput",
    examples: [
      {
        model_id: "demo-small",
        prompts: ["Yesterday morning, my sister", "The weather is"],
        features: ["demo-small-topk-layer3:1655"],
        strengths: [0.5, 1, 1.5, 2],
        apply: { prompt: true, generation: false },
        goal: { type: "script", script: "Han", direction: "more" },
      },
    ],
  },
);
export type SteeringSweepInput = Static<typeof SteeringSweepInput>;

/** The input with every default written out and ids for names. */
export type SteeringSweepSettings = Omit<SteeringSweepInput, "controls" | "limits"> &
  Required<
    Pick<SteeringSweepInput, "chat" | "op" | "strengths" | "max_tokens" | "temperature" | "seed" | "held_out" | "draws">
  > & {
    readonly controls: SweepControlSettings;
    readonly limits: SweepLimitSettings;
  };
export type SweepControlSettings = Static<typeof SweepControls> & {
  readonly random_features: number;
  readonly negative_strength: boolean;
};
export type SweepLimitSettings = Required<Static<typeof SweepLimits>>;

const Interval = Type.Object({ low: Type.Number(), high: Type.Number() });
const Estimate = Type.Object({
  mean: Type.Number(),
  interval: nullable(Interval),
});

/** What one set of texts is like, each beside the baseline's texts of the same prompts. */
const measures = {
  prompts: Type.Integer(),
  goal: Estimate,
  effect: nullable(
    Type.Object(Estimate.properties, {
      description: "mean over prompts of the score minus the baseline's, turned so that more is better",
    }),
  ),
  perplexity: Type.Number({
    description: "of the texts after their prompts, under the unsteered model: exp of the mean nats per token",
  }),
  perplexity_ratio: Type.Number({ description: "over that of the baseline's texts" }),
  distinct_1: Type.Number({ description: "distinct tokens per token, mean over texts" }),
  distinct_2: Type.Number({ description: "distinct pairs of neighbours per pair, mean over texts" }),
  longest_repetition: Type.Number({
    description: "tokens of the longest stretch that is a repetition of what stands right before it, mean over texts",
  }),
  tokens: Type.Number({ description: "mean length of a text" }),
  fluent: Type.Boolean({ description: "within the limits" }),
};

export const SweepCell = Type.Object(
  {
    cell: Type.Integer(),
    feature: nullable(Type.String()),
    vector: nullable(Type.Integer({ description: "index into `vectors`" })),
    strength: nullable(Type.Number({ description: "null for ablate" })),
    ...measures,
    mean_relative_change: Type.Number({ description: "‖h'−h‖/‖h‖ over the touched tokens" }),
    least_lead: nullable(
      Type.Number({ description: "mean lead over the strongest of its controls; null: not among the finalists" }),
    ),
    example: Type.Object({ prompt: Type.String(), text: Type.String() }),
  },
  { title: "SweepCell" },
);
export type SweepCell = Static<typeof SweepCell>;

export const sweepArms = ["best", "baseline", "random_feature", "negative_strength", "instruction"] as const;
export type SweepArmName = (typeof sweepArms)[number];

export const SweepArm = Type.Object(
  {
    arm: oneOf(sweepArms),
    detail: nullable(Type.String({ description: "the feature that was drawn" })),
    ...measures,
    lead: nullable(
      Type.Object(Estimate.properties, { description: "of the best over this control, over the same prompts" }),
    ),
    beaten: nullable(Type.Boolean({ description: "the whole interval of the lead is above 0" })),
    example: Type.Object({ prompt: Type.String(), text: Type.String() }),
  },
  { title: "SweepArm" },
);
export type SweepArm = Static<typeof SweepArm>;

export const SweepVerdict = Type.Object(
  {
    works: Type.Boolean({ description: "beats every control, intervals apart from 0, within the limits of fluency" }),
    summary: Type.String({ description: "one sentence" }),
    reasons: Type.Array(Type.String(), { description: "why it does not work, or what to know where it does" }),
    judged_on: oneOf(["held_out", "all"], {
      description: "all: on the prompts on which it was chosen, if any choice was made",
    }),
    prompts: Type.Integer(),
  },
  { title: "SweepVerdict" },
);
export type SweepVerdict = Static<typeof SweepVerdict>;

export const SteeringSweepResult = Type.Object(
  {
    verdict: SweepVerdict,
    best: nullable(
      Type.Object({
        cell: Type.Integer(),
        steering: Type.Pick(Steering, ["edits"], { description: "ready for a completion or a variant" }),
      }),
    ),
    arms: Type.Array(SweepArm, { description: "the best cell and its controls on the prompts that judge; best first" }),
    baseline: Type.Object(measures, { description: "on the prompts on which cells are compared" }),
    cells: Type.Array(SweepCell, { description: "in the order of features, then vectors, then strengths" }),
    failed_cells: Type.Array(
      Type.Object({
        cell: Type.Integer(),
        feature: nullable(Type.String()),
        vector: nullable(Type.Integer()),
        strength: nullable(Type.Number()),
        reason: Type.String(),
      }),
    ),
    artifacts: Type.Object({
      report: Type.String({ description: "sweep.json: all of this with the score of every prompt" }),
      table: Type.String({ description: "sweep.csv: one row per cell and control" }),
      texts: Type.String({ description: "texts.jsonl: every text with its scores" }),
      chart: Type.String({ description: "sweep.svg" }),
    }),
  },
  { title: "SteeringSweepResult" },
);
export type SteeringSweepResult = Static<typeof SteeringSweepResult>;
