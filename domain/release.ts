// A release: the saes of many layers of one model, trained by jobs that any number of workers share.
import { type Static, Type } from "typebox";
import { closed } from "./schema.ts";
import { SaeTrainInput, type SaeTrainSettings } from "./training.ts";

const { layers: _, ...training } = SaeTrainInput.properties;

export const SaeReleaseInput = closed(
  {
    ...training,
    layers: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0 }), {
        minItems: 1,
        maxItems: 256,
        uniqueItems: true,
        description: "every layer of the model if absent",
      }),
    ),
    layers_per_job: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 256,
        description:
          "layers trained from one forward pass; if absent, the layers are shared out among the batch workers that are there, as many to a job as fit the memory of the largest",
      }),
    ),
  },
  {
    title: "SaeReleaseInput",
    examples: [
      { name: "demo-release", model_id: "demo-small", dataset_id: "demo-text", width: 2048, k: 32, tokens: 2_000_000 },
    ],
  },
);
export type SaeReleaseInput = Static<typeof SaeReleaseInput>;

/** The input with every default written out, and what joins the jobs: the row of the release keeps it. */
export type SaeReleaseSettings = SaeTrainSettings & {
  readonly layers_per_job: number;
  readonly release_id: string;
};

export const SaeReleaseResult = Type.Object(
  {
    release_id: Type.String(),
    sae_ids: Type.Array(Type.String(), { description: "in the order of the layers" }),
    report_artifact_id: Type.String({ description: "JSON: settings, metrics of every sae, the course of every job" }),
    report_page_artifact_id: Type.String({ description: "the same as a page with plots, for people" }),
    job_ids: Type.Array(Type.String(), { description: "the jobs that trained them" }),
  },
  { title: "SaeReleaseResult" },
);
export type SaeReleaseResult = Static<typeof SaeReleaseResult>;

/** Neighbours together, in groups of nearly equal size: a forward pass runs only up to the highest layer of its group. */
export function layerGroups(layers: readonly number[], perJob: number): number[][] {
  const sorted = layers.toSorted((a, b) => a - b);
  const count = Math.ceil(sorted.length / perJob);
  return Array.from({ length: count }, (_, index) =>
    sorted.slice(Math.round((index * sorted.length) / count), Math.round(((index + 1) * sorted.length) / count)),
  );
}
