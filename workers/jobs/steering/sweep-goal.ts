/** The score of a text for a sweep's goal, in [0, 1]. */
import { parseFeature } from "../../../domain/sae.ts";
import type { SweepGoal } from "../../../domain/sweep-goal.ts";
import { scriptShare } from "../../../engine/features/text-measures.ts";
import { compilePattern } from "../../../formats/pattern.ts";
import { useSae, type WorkerSae } from "../../open-models.ts";
import type { Lease } from "../../residency.ts";
import type { JobContext } from "../handler.ts";
import { type GoalScorer, openJudge } from "./sweep-judge.ts";

export async function openGoal(goal: SweepGoal, context: JobContext): Promise<GoalScorer> {
  switch (goal.type) {
    case "script":
      return pure((text) => scriptShare(text, goal.script));
    case "regex": {
      const pattern = compilePattern(goal.pattern, { ignoreCase: goal.ignore_case ?? false });
      return pure((text) => (pattern.isIn(text) ? 1 : 0));
    }
    case "feature": {
      const { sae, index } = parseFeature(goal.feature, "/input/goal/feature");
      const row = await context.catalog.sae(sae);
      return firingShare(await useSae(context, row), row.layer, index, goal.above ?? 0);
    }
    case "endpoint":
      return await openJudge(goal, context);
  }
}

function pure(scoreOf: (text: string) => number | null): GoalScorer {
  return { taps: [], concurrency: 1, score: async (text) => scoreOf(text), close: () => {} };
}

/** By the sae's own rule, competition among features included: what a reader of the feature would see. */
function firingShare(lease: Lease<WorkerSae>, layer: number, index: number, above: number): GoalScorer {
  return {
    taps: [layer],
    concurrency: 1,
    async score(_, [acts = new Float32Array()]) {
      if (acts.length === 0) return null;
      const { features, values, rows } = await lease.value.opened.encode(acts);
      const fired = features.reduce(
        (count, feature, z) => count + (feature === index && values[z]! > above ? 1 : 0),
        0,
      );
      return fired / rows;
    },
    close: () => lease.release(),
  };
}
