// What a steered text shall be: goals that a sweep scores every generated text by.
import { type Static, Type } from "typebox";
import { ChatEndpoint } from "./chat-endpoint.ts";
import { FeatureRef } from "./sae.ts";
import { closed, oneOf } from "./schema.ts";

const directions = ["more", "less"] as const;
const direction = (what: string) =>
  Type.Optional(oneOf(directions, { default: "more", description: `whether ${what} is wanted or unwanted` }));

const ScriptGoal = closed(
  {
    type: Type.Literal("script"),
    script: Type.String({
      pattern: "^[A-Za-z_]{2,40}$",
      description: "a Unicode script, by its long or short name: Han, Latin, Cyrillic, Arab, …",
    }),
    direction: direction("the script"),
  },
  {
    title: "SteeringGoalScript",
    description:
      "Share of the text's letters that belong to a script. A text without letters shows neither and scores worst.",
  },
);

const RegexGoal = closed(
  {
    type: Type.Literal("regex"),
    pattern: Type.String({
      minLength: 1,
      maxLength: 2000,
      description: "RE2's syntax (linear time: no look-around, no back-references); found anywhere in the text",
    }),
    ignore_case: Type.Optional(Type.Boolean({ default: false })),
    direction: direction("a match"),
  },
  { title: "SteeringGoalRegex", description: "1 where the pattern is found, else 0." },
);

const FeatureGoal = closed(
  {
    type: Type.Literal("feature"),
    feature: FeatureRef,
    above: Type.Optional(Type.Number({ minimum: 0, default: 0, description: "an activation that counts as firing" })),
    direction: direction("the feature"),
  },
  {
    title: "SteeringGoalFeature",
    description:
      "Share of the generated tokens on which a feature fires when the unsteered model reads the text, so that steering along the feature does not prove itself. A text without tokens scores worst.",
  },
);

const EndpointGoal = closed(
  {
    type: Type.Literal("endpoint"),
    endpoint: ChatEndpoint,
    prompt: Type.String({
      minLength: 1,
      maxLength: 20_000,
      description:
        "what the judge is asked; {text} stands for the generated text, {prompt} for what it goes on from. Ask for a number alone: the first one in the answer counts",
    }),
    worst: Type.Optional(Type.Number({ default: 0, description: "the number that scores 0" })),
    best: Type.Optional(
      Type.Number({ default: 10, description: "the number that scores 1; those beyond count as it" }),
    ),
    maximum_tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        default: 1_000_000,
        description: "sent and received by one attempt of the job; it ends before it would need more",
      }),
    ),
    direction: direction("a good mark"),
  },
  {
    title: "SteeringGoalEndpoint",
    description:
      "The mark of a language model elsewhere that reads each text. An answer without a number scores worst. The judge reads what the model wrote: a text may try to talk it into a mark.",
  },
);
export type EndpointGoal = Static<typeof EndpointGoal>;

export const SweepGoal = Type.Union([ScriptGoal, RegexGoal, FeatureGoal, EndpointGoal], {
  description: "what the texts shall be, scored from 0 to 1",
});
export type SweepGoal = Static<typeof SweepGoal>;

/** Whether Unicode has a script of this name; unknown names make a RegExp throw. */
export function isScript(name: string): boolean {
  try {
    new RegExp(`\\p{Script=${name}}`, "u");
    return true;
  } catch {
    return false;
  }
}

/** +1 where a higher score is better, −1 where a lower one is. */
export function goalSign(goal: SweepGoal): 1 | -1 {
  return goal.direction === "less" ? -1 : 1;
}

/** In a few words, for axes and verdicts: "Han among letters". */
export function describeGoal(goal: SweepGoal): string {
  switch (goal.type) {
    case "script":
      return `${goal.script} among letters`;
    case "regex":
      return `texts that match /${goal.pattern}/`;
    case "feature":
      return `tokens on which ${goal.feature} fires`;
    case "endpoint":
      return `marks of ${goal.endpoint.model}`;
  }
}
