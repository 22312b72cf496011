// A variant: a model under a name of its own, with steering that every request to it gets.
import { type Static, Type } from "typebox";
import { closed, IdOrName, Metadata, Name, Timestamp } from "./schema.ts";
import { Edit, maximumEdits } from "./steering.ts";

const Edits = closed(
  { edits: Type.Array(Edit, { minItems: 1, maxItems: maximumEdits }) },
  { title: "VariantSteering" },
);

export const CreateVariant = closed(
  {
    name: Name,
    model_id: IdOrName,
    steering: Edits,
    metadata: Type.Optional(Metadata),
  },
  {
    title: "CreateVariant",
    examples: [
      {
        name: "demo-spanish",
        model_id: "demo-small",
        steering: {
          edits: [{ feature: "demo-small-topk-layer3:1655", op: "add", value: 1, unit: "residual_norm" }],
        },
      },
    ],
  },
);
export type CreateVariant = Static<typeof CreateVariant>;

export const Variant = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("variant"),
    name: Type.String({ description: "what completions take as `model`" }),
    model_id: Type.String(),
    steering: Edits,
    metadata: Metadata,
    created_at: Timestamp,
  },
  {
    title: "Variant",
    examples: [
      {
        id: "variant_01jd5xk0m4q8v7w2r3t5y6z8ae",
        object: "variant",
        name: "demo-spanish",
        model_id: "model_01jd5xk0m4q8v7w2r3t5y6z8ac",
        steering: {
          edits: [{ feature: "sae_01jd5xk0m4q8v7w2r3t5y6z8ad:1655", op: "add", value: 1, unit: "residual_norm" }],
        },
        metadata: {},
        created_at: "2026-11-22T12:00:00.000Z",
      },
    ],
  },
);
export type Variant = Static<typeof Variant>;
