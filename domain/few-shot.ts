// Prompts that begin with solved examples.
import { type Static, Type } from "typebox";
import type { Sample } from "./dataset.ts";
import type { PromptTemplate } from "./prompt-template.ts";
import { closed, IdOrName } from "./schema.ts";

export const maximumShots = 64;

export const Shots = closed(
  {
    count: Type.Integer({ minimum: 1, maximum: maximumShots, description: "examples before every sample" }),
    dataset_id: Type.Optional(
      Type.Union([IdOrName], {
        description:
          "where the examples come from, e.g. the benchmark's dev split; absent: its own first rows, which are then not measured",
      }),
    ),
    seed: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: "draws the examples; absent: the first rows in the order of the file",
      }),
    ),
    template: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 10_000,
        description: "how a solved example reads; absent: as the benchmark's template says",
      }),
    ),
    separator: Type.Optional(Type.String({ maxLength: 1_000, default: "\n\n", description: "between two examples" })),
    preamble: Type.Optional(
      Type.String({ maxLength: 10_000, description: "before the first example, followed by the separator" }),
    ),
  },
  { title: "Shots", examples: [{ count: 5, dataset_id: "mmlu-dev" }] },
);
export type Shots = Static<typeof Shots>;

/**
 * Everything of a prompt that comes before its sample: preamble, then each example, each followed by the separator.
 *
 * @param rows 1-based numbers of the examples in their dataset, for the message
 * @throws Problem DATASET_INVALID naming the row and field that an example lacks
 */
export function renderShots(
  shots: Shots,
  template: PromptTemplate,
  examples: readonly Sample[],
  rows: readonly number[],
) {
  const separator = shots.separator ?? "\n\n";
  const parts = examples.map((example, i) => template.render(example, rows[i]!));
  if (shots.preamble !== undefined) parts.unshift(shots.preamble);
  return parts.map((part) => part + separator).join("");
}
