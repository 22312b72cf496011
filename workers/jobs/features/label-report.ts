/** What a features.label job leaves: labels for the database, a line of evidence for each feature, and the figures of the whole. */
import { costOf } from "../../../domain/chat-endpoint.ts";
import type { FeaturesLabelResult, FeaturesLabelSettings, LabelOutcome } from "../../../domain/feature-label.ts";
import { labelOutcomes } from "../../../domain/feature-label.ts";
import { newId } from "../../../domain/id.ts";
import type { Budget } from "../../chat-endpoint.ts";
import type { JobOutput } from "../../protocol.ts";
import type { JobContext } from "../handler.ts";
import type { LabelledFeature } from "./label-feature.ts";

export interface LabelEntry {
  readonly index: number;
  readonly outcome: LabelOutcome;
  readonly cached: boolean;
  readonly found?: LabelledFeature;
}

interface Finished {
  readonly settings: FeaturesLabelSettings;
  readonly context: JobContext;
  readonly budget: Budget;
  readonly entries: readonly LabelEntry[];
  readonly stoppedBy: "tokens" | "cost" | null;
}

export async function labelOutput({ settings, context, budget, entries, stoppedBy }: Finished): Promise<JobOutput> {
  const sorted = entries.toSorted((a, b) => a.index - b.index);
  const lines = sorted.map((entry) => `${JSON.stringify(lineOf(entry))}\n`).join("");
  const artifact = {
    id: newId("artifact"),
    name: "labels.jsonl",
    contentType: "application/jsonl",
    blob: await context.blobs.put(Buffer.from(lines)),
  };
  const scores = sorted.flatMap(({ found }) => (found?.detection ? [found.detection.score] : []));
  const counted = (outcome: LabelOutcome) => sorted.filter((entry) => entry.outcome === outcome).length;
  const { requests, input, output } = budget.usage;
  const result: FeaturesLabelResult = {
    sae_id: settings.sae_id,
    features: settings.features.length,
    outcomes: Object.fromEntries(
      labelOutcomes.map((outcome) => [outcome, counted(outcome)]),
    ) as FeaturesLabelResult["outcomes"],
    left: settings.features.length - sorted.length,
    mean_score: scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length,
    stopped_by: stoppedBy,
    usage: {
      ...{ requests, input_tokens: input, output_tokens: output },
      cost: settings.prices ? costOf(budget.usage, settings.prices) : null,
      cached_features: sorted.filter(({ cached }) => cached).length,
    },
    report_artifact_id: artifact.id,
  };
  const labels = sorted.flatMap(({ outcome, found }) =>
    outcome === "labelled" && found
      ? [{ index: found.index, label: found.label, source: "model" as const, score: found.detection?.score ?? null }]
      : [],
  );
  const replace = settings.replace === "all" ? true : settings.replace === "model" ? "model" : false;
  return { result, artifacts: [artifact], featureLabels: [{ saeId: settings.sae_id, labels, replace }] };
}

function lineOf({ index, outcome, cached, found }: LabelEntry): object {
  if (!found) return { index, outcome };
  const { label, explanation, detection } = found;
  return {
    ...{ index, outcome, label, explanation, cached },
    score: detection?.score ?? null,
    interval: detection?.interval ?? null,
    test: detection && {
      active_found: `${detection.found} of ${detection.active}`,
      silent_passed: `${detection.passed} of ${detection.silent}`,
    },
  };
}
