/** A language model elsewhere as the judge of a sweep's texts. */
import { fieldProblem } from "../../../domain/problem.ts";
import type { EndpointGoal } from "../../../domain/sweep-goal.ts";
import { createBudget, createChatEndpoint, LimitReached } from "../../chat-endpoint.ts";
import type { JobContext } from "../handler.ts";

export interface GoalScorer {
  /** Layers at which it wants to see how the unsteered model reads the text. */
  readonly taps: readonly number[];
  /** Texts that it scores at a time. */
  readonly concurrency: number;
  /** `taps`: the residuals of the text's tokens. null where the text cannot show the goal. */
  score(text: string, taps: readonly Float32Array[], prompt: string): Promise<number | null>;
  close(): void;
}

export async function openJudge(goal: EndpointGoal, context: JobContext): Promise<GoalScorer> {
  const { endpoint, worst = 0, best = 10, maximum_tokens = 1_000_000 } = goal;
  const { temperature = 0, answer_tokens = 512, timeout_s = 120, concurrency = 4 } = endpoint;
  const key = endpoint.secret === undefined ? null : await context.secret(endpoint.secret, endpoint.url);
  const budget = createBudget({ tokens: maximum_tokens }, undefined, { requests: 0, input: 0, output: 0 });
  const { url, model } = endpoint;
  const settings = { url, model, temperature, answerTokens: answer_tokens, timeoutMs: timeout_s * 1000 };
  const chat = createChatEndpoint(settings, { outbound: context.outbound, budget, key });
  return {
    taps: [],
    concurrency,
    async score(text, _, prompt) {
      const places: Readonly<Record<string, string>> = { text, prompt };
      // One pass: a text that contains "{prompt}" is not filled in again.
      const content = goal.prompt.replaceAll(/\{(text|prompt)\}/g, (_whole, place: string) => places[place]!);
      try {
        return markOf(await chat.ask([{ role: "user", content }], context.signal), worst, best);
      } catch (error) {
        if (!(error instanceof LimitReached)) throw error;
        const detail = `${maximum_tokens} tokens do not suffice: ${budget.usage.requests} texts were judged`;
        throw fieldProblem("SETTINGS_CONTRADICTORY", "/input/goal/maximum_tokens", detail);
      }
    },
    close: () => {},
  };
}

/** The first number of the answer on the scale from worst (0) to best (1). */
export function markOf(answer: string, worst: number, best: number): number | null {
  const [number] = /-?\d+(?:\.\d+)?/.exec(answer) ?? [];
  if (number === undefined) return null;
  return Math.min(1, Math.max(0, (Number(number) - worst) / (best - worst)));
}
