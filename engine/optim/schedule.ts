// Learning rate schedules: as plain numbers for a loop in JavaScript, and as values for a graph that runs several steps.

import type { Value } from "../onnx/graph.ts";
import { add, cast, clip, cos, div, mul, sub } from "../ops/elementwise.ts";

export interface Schedule {
  readonly peak: number;
  readonly totalSteps: number;
  /** Steps of linear rise from 0; step `warmupSteps` is the first at the peak. */
  readonly warmupSteps?: number;
  /** Steps of descent at the end; default: all after the warm-up. Before it the rate stays at the peak. */
  readonly decaySteps?: number;
  /** Where the descent ends, as a fraction of the peak. Default 0. */
  readonly floor?: number;
  readonly shape: "linear" | "cosine";
}

/**
 * Learning rate at a step (0 is the first): peak · rise · fall, with
 * rise = clip(step / warmupSteps, 0, 1), p = clip((step − (totalSteps − decaySteps)) / decaySteps, 0, 1) and
 * fall = floor + (1 − floor) · (1 − p) for linear, floor + (1 − floor) · ½ (1 + cos πp) for cosine (Loshchilov & Hutter 2017, eq. 5).
 */
export function learningRate(schedule: Schedule, step: number): number {
  const { warmup, start, length, floor } = phases(schedule);
  const rise = warmup === 0 ? 1 : Math.min(1, step / warmup);
  const p = length === 0 ? 0 : Math.min(1, Math.max(0, (step - start) / length));
  const fall = schedule.shape === "linear" ? 1 - p : 0.5 * (1 + Math.cos(Math.PI * p));
  return schedule.peak * rise * (floor + (1 - floor) * fall);
}

/** The same in a graph: step is a number of any dtype, the result is a float32 scalar of its shape. */
export function learningRateOf(schedule: Schedule, step: Value): Value {
  const { warmup, start, length, floor } = phases(schedule);
  const t = cast(step, "float32");
  const p = length === 0 ? mul(t, 0) : clip(div(sub(t, start), length), 0, 1);
  const fall = schedule.shape === "linear" ? sub(1, p) : mul(add(cos(mul(p, Math.PI)), 1), 0.5);
  const rate = mul(add(mul(fall, 1 - floor), floor), schedule.peak);
  return warmup === 0 ? rate : mul(rate, clip(div(t, warmup), 0, 1));
}

function phases({ totalSteps, warmupSteps = 0, decaySteps = totalSteps - warmupSteps, floor = 0 }: Schedule) {
  if (warmupSteps < 0 || decaySteps < 0 || warmupSteps + decaySteps > totalSteps) {
    throw new RangeError(`warm-up ${warmupSteps} and decay ${decaySteps} do not fit into ${totalSteps} steps`);
  }
  return { warmup: warmupSteps, start: totalSteps - decaySteps, length: decaySteps, floor };
}
