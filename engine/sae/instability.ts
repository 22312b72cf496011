// When a batch must not be learned from: something is not finite, or the loss is far above what it has been.

/** How many losses the median is taken over, and how many there must be before a batch is judged by them. */
const historyLength = 64;
const leastHistory = 16;

export type InstabilityReason = "activations_not_finite" | "step_not_finite" | "loss_spike";

/** Thrown before the batch has changed anything of the sae it is about. */
export class TrainingUnstable extends Error {
  override readonly name = "TrainingUnstable";
  readonly reason: InstabilityReason;
  /** Index in the trainer's list of saes; null when the activations are at fault, which are not one sae's. */
  readonly sae: number | null;
  /** The step that was to be made, and the batch of that sae, both counted from 1; they differ by the batches skipped. */
  readonly step: number | null;
  readonly batch: number | null;

  constructor(
    reason: InstabilityReason,
    detail: string,
    at: { readonly sae: number | null; readonly step: number | null; readonly batch: number | null },
    options?: ErrorOptions,
  ) {
    super(detail, options);
    this.reason = reason;
    this.sae = at.sae;
    this.step = at.step;
    this.batch = at.batch;
  }
}

/** Thrown by a learner; the trainer says which sae and batch it was. */
export class LossSpike extends RangeError {}

/** Throws LossSpike when `fvu` is above `factor` times the median of the losses before it; 0 never does. */
export function expectNoSpike(fvu: number, history: readonly number[], factor: number): void {
  if (factor === 0 || history.length < leastHistory) return;
  const median = [...history].sort((a, b) => a - b)[history.length >> 1]!;
  if (fvu <= factor * median) return;
  throw new LossSpike(
    `the fraction of variance unexplained is ${fvu}, more than ${factor} times the median ${median} of the last ${history.length} steps`,
  );
}

/** The history with one more loss, without those that are too old. */
export function withLoss(history: readonly number[], fvu: number): number[] {
  return [...history, fvu].slice(-historyLength);
}
