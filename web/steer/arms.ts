// The texts of one experiment as they stream in: one arm each for steered, baseline and control.
import type { ExperimentRole, FinishReason } from "../../domain/completion.ts";
import type { SteeringReport } from "../../domain/steering.ts";

export interface Arm {
  /** null: a text that nothing steers */
  readonly role: ExperimentRole | null;
  readonly index: number;
  readonly text: string;
  readonly finishReason: FinishReason | null;
  readonly report: SteeringReport | null;
}

interface ChunkChoice {
  readonly index: number;
  readonly text?: string;
  readonly delta?: { readonly content?: string };
  readonly finish_reason?: FinishReason | null;
  readonly role_in_experiment?: ExperimentRole;
  readonly steering_report?: SteeringReport;
}

/** A chunk of either completion route. */
export interface Chunk {
  readonly choices: readonly ChunkChoice[];
}

/** The arms with a chunk added; an expected arm becomes the real one when its first piece comes. */
export function withChunk(arms: readonly Arm[], chunk: Chunk): Arm[] {
  const next = [...arms];
  for (const choice of chunk.choices) {
    const role = choice.role_in_experiment ?? null;
    const known = next.findIndex(({ index }) => index === choice.index);
    const place = known >= 0 ? known : next.findIndex((arm) => arm.index < 0 && arm.role === role);
    const arm = next[place];
    const added: Arm = {
      role: choice.role_in_experiment ?? arm?.role ?? null,
      index: choice.index,
      text: (arm?.text ?? "") + (choice.text ?? choice.delta?.content ?? ""),
      finishReason: choice.finish_reason ?? arm?.finishReason ?? null,
      report: choice.steering_report ?? arm?.report ?? null,
    };
    if (arm === undefined) next.push(added);
    else next[place] = added;
  }
  return next;
}

/** The arms that a request will fill, empty, so that the page does not jump when the first text comes. */
export function expectedArms(steered: boolean, control: boolean): Arm[] {
  const roles: readonly (ExperimentRole | null)[] = steered
    ? ["baseline", "steered", ...(control ? (["control"] as const) : [])]
    : [null];
  return roles.map((role, i) => ({ role, index: -1 - i, text: "", finishReason: null, report: null }));
}
