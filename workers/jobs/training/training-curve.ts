/** The course of a training run as points thinned to a readable number, for the report; part of every checkpoint. */
import type { PlannedSae } from "../../../domain/training-laws.ts";
import type { StepReport } from "../../../engine/sae/trainer.ts";

/** Points kept per sae. Which steps they are depends on the run's length alone, so a resumed run has the same. */
const POINTS = 400;

export interface CurvePoint {
  readonly layer: number;
  readonly width: number;
  readonly k: number;
  readonly step: number;
  readonly tokens: number;
  readonly loss: number;
  readonly fraction_variance_unexplained: number;
  readonly l0_per_token: number;
  readonly dead_features: number;
  readonly learning_rate: number;
}

export interface Curve {
  readonly points: readonly CurvePoint[];
  add(sae: PlannedSae, step: StepReport): void;
}

export function createCurve(totalSteps: number, earlier: readonly CurvePoint[]): Curve {
  const points = [...earlier];
  const every = Math.max(1, Math.ceil(totalSteps / POINTS));
  return {
    points,
    add({ layer, width, k }, { step, rows, loss, fvu, l0, dead, learningRate }) {
      if (step % every !== 0 && step !== 1 && step !== totalSteps) return;
      points.push({
        layer,
        width,
        k,
        step,
        tokens: rows,
        loss,
        fraction_variance_unexplained: fvu,
        l0_per_token: l0,
        dead_features: dead,
        learning_rate: learningRate,
      });
    },
  };
}
