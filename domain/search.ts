// steering.search: the features and strengths that serve a goal, found from examples of it.
import { type Static, Type } from "typebox";
import { ContrastedFeature, ContrastSet } from "./contrast.ts";
import { closed, IdOrName, oneOf } from "./schema.ts";
import { Apply, steeringUnits } from "./steering.ts";
import {
  SteeringSweepInput,
  SteeringSweepResult,
  type SteeringSweepSettings,
  SweepControls,
  SweepLimits,
  SweepPrompts,
  SweepSampling,
} from "./sweep.ts";
import { SweepGoal } from "./sweep-goal.ts";

/** Of which effects along a feature can be searched: those that need a strength. */
export const searchedOps = ["add", "set", "scale"] as const;

export const SteeringSearchInput = closed(
  {
    model_id: IdOrName,
    sae_ids: Type.Array(IdOrName, { minItems: 1, maxItems: 256, uniqueItems: true, description: "where to look" }),
    ...SweepPrompts,
    goal: SweepGoal,
    positive: Type.Optional(
      Type.Object(ContrastSet.properties, {
        additionalProperties: false,
        description:
          "texts that are as they shall be. Without it and `negative` the model goes on from the prompts by itself at temperature 1, and the texts above and below the mean score take their place",
      }),
    ),
    negative: Type.Optional(
      Type.Object(ContrastSet.properties, {
        additionalProperties: false,
        description: "texts that are as they are now",
      }),
    ),
    shortlist: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 256, default: 16, description: "features that the contrast lets in" }),
    ),
    op: Type.Optional(oneOf(searchedOps, { default: "add" })),
    strengths: SteeringSweepInput.properties.strengths,
    unit: Type.Optional(oneOf(steeringUnits, { description: "as in steering.sweep" })),
    apply: Type.Optional(Apply),
    ...SweepSampling,
    controls: Type.Optional(SweepControls),
    limits: Type.Optional(SweepLimits),
    held_out: SteeringSweepInput.properties.held_out,
    draws: SteeringSweepInput.properties.draws,
  },
  {
    title: "SteeringSearchInput",
    examples: [
      {
        model_id: "demo-small",
        sae_ids: ["demo-small-topk-layer2", "demo-small-topk-layer3"],
        prompts: ["Yesterday morning, my sister", "Every summer my grandfather"],
        goal: { type: "script", script: "Han", direction: "more" },
        positive: { dataset_id: "demo-text-heldout", where: { language: "zh", kind: "prose" } },
        negative: { dataset_id: "demo-text-heldout", where: { language: "en", kind: "prose" } },
        strengths: [1, 2],
        apply: { prompt: [-1], generation: false },
      },
    ],
  },
);
export type SteeringSearchInput = Static<typeof SteeringSearchInput>;

export type SteeringSearchSettings = Omit<SteeringSearchInput, "controls" | "limits" | "op" | "strengths"> &
  Omit<SteeringSweepSettings, "features" | "vectors" | "when" | "op"> & {
    readonly op: (typeof searchedOps)[number];
    readonly shortlist: number;
  };

export const SearchRound = Type.Object(
  {
    prompts: Type.Integer({ description: "on which these cells were compared" }),
    cells: Type.Integer(),
    kept: Type.Integer(),
  },
  { title: "SearchRound" },
);
export type SearchRound = Static<typeof SearchRound>;

export const SteeringSearchResult = Type.Object(
  {
    ...SteeringSweepResult.properties,
    shortlist: Type.Array(ContrastedFeature, { description: "by the contrast, best first" }),
    rounds: Type.Array(SearchRound, { description: "of halving; the cells that are left are those of the result" }),
  },
  { title: "SteeringSearchResult" },
);
export type SteeringSearchResult = Static<typeof SteeringSearchResult>;
