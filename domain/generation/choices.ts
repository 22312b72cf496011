// The choices of a request as its events fill them.
import type { ExperimentRole, FinishReason, Usage } from "../completion.ts";
import { Problem } from "../problem.ts";
import type { CompletionInput, RequestEvent, TokenLogprobEvent } from "../request.ts";
import type { SteeringReport } from "../steering.ts";

export interface Choice {
  readonly index: number;
  /** index of its prompt */
  readonly prompt: number;
  readonly role: ExperimentRole | null;
  readonly texts: string[];
  /** null: not asked for */
  readonly logprobs: TokenLogprobEvent[] | null;
  finishReason: FinishReason | null;
  completionTokens: number;
  /** null: the worker did not say */
  cachedTokens: number | null;
  report: SteeringReport | null;
}

export interface Answer {
  readonly choices: readonly Choice[];
  promptTokens: number;
  runtime: string;
}

export function emptyAnswer(input: CompletionInput): Answer {
  return {
    choices: input.sequences.map((sequence) => ({
      index: sequence.choice,
      prompt: sequence.prompt,
      role: sequence.role,
      texts: [],
      logprobs: input.logprobs === null ? null : [],
      finishReason: null,
      completionTokens: 0,
      cachedTokens: null,
      report: null,
    })),
    promptTokens: 0,
    runtime: "",
  };
}

/** Adds one event; returns the choice it is about. */
export function addEvent(answer: Answer, event: RequestEvent): Choice | null {
  if (event.type === "started") {
    answer.promptTokens = event.data.prompt_tokens.reduce((sum, count) => sum + count, 0);
    answer.runtime = event.data.runtime;
    return null;
  }
  if (event.type !== "delta" && event.type !== "choice_ended") return null;
  const choice = answer.choices[event.data.choice];
  if (choice === undefined) throw new Problem("INTERNAL_ERROR", `there is no choice ${event.data.choice}`);
  if (event.type === "delta") {
    choice.texts.push(event.data.text);
    choice.logprobs?.push(...(event.data.logprobs ?? []));
  } else {
    choice.finishReason = event.data.finish_reason;
    choice.completionTokens = event.data.completion_tokens;
    choice.cachedTokens = event.data.cached_tokens ?? null;
    choice.report = event.data.steering_report ?? null;
  }
  return choice;
}

export async function collectAnswer(events: AsyncIterable<RequestEvent>, input: CompletionInput): Promise<Answer> {
  const answer = emptyAnswer(input);
  for await (const event of events) addEvent(answer, event);
  const unfinished = answer.choices.find((choice) => choice.finishReason === null);
  if (unfinished) throw new Problem("INTERNAL_ERROR", `choice ${unfinished.index} was never finished`);
  return answer;
}

/** Every arm of the experiment counts: their tokens were all generated. */
export function usageOf(answer: Answer): Usage {
  const completion = answer.choices.reduce((sum, choice) => sum + choice.completionTokens, 0);
  const cached = cachedTokens(answer);
  return {
    prompt_tokens: answer.promptTokens,
    completion_tokens: completion,
    total_tokens: answer.promptTokens + completion,
    ...(cached === null ? {} : { prompt_tokens_details: { cached_tokens: cached } }),
  };
}

/** Prompts count once in the usage, however many texts begin with them: of each, what was known for all of these. */
function cachedTokens(answer: Answer): number | null {
  let sum = 0;
  for (const choices of Map.groupBy(answer.choices, ({ prompt }) => prompt).values()) {
    const known = choices.flatMap((choice) => (choice.cachedTokens === null ? [] : [choice.cachedTokens]));
    if (known.length < choices.length) return null;
    sum += Math.min(...known);
  }
  return sum;
}

/** The fields that a steered request adds to a choice. */
export function experimentFields(choice: Choice, report: SteeringReport | null) {
  return {
    ...(choice.role === null ? {} : { role_in_experiment: choice.role }),
    ...(report === null ? {} : { steering_report: report }),
  };
}
