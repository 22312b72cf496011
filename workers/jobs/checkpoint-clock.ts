/** When a checkpoint is due: often enough that little work is ever lost, seldom enough that it costs little. */

/** The most work that may lie between two checkpoints. */
export const MOST_WORK_MS = 5 * 60_000;
const USUAL_MS = 30_000;
/** A large checkpoint is made rarely: at most a twentieth of the time goes into it, within the bound above. */
const SHARE = 20;

export interface CheckpointClock {
  /** Called after each piece of work: whether to save now, before the next piece. */
  isDue(step: number): boolean;
  saved(step: number, tookMs: number): void;
}

/** `everySteps` in place of the usual interval. `now` is monotonic milliseconds; passed in so that tests own the time. */
export function createCheckpointClock(
  startStep: number,
  everySteps: number | undefined,
  now: () => number = () => performance.now(),
): CheckpointClock {
  let savedAt = now();
  let savedStep = startStep;
  let lastLook = savedAt;
  let intervalMs = USUAL_MS;
  return {
    isDue(step) {
      const time = now();
      // The next piece will take about as long as this one; where that would be too long, it is now or too late.
      const nextAt = time + (time - lastLook);
      lastLook = time;
      if (nextAt - savedAt >= MOST_WORK_MS) return true;
      if (everySteps !== undefined) return step >= savedStep + everySteps;
      return time - savedAt >= intervalMs;
    },
    saved(step, tookMs) {
      savedAt = lastLook = now();
      savedStep = step;
      intervalMs = Math.min(Math.max(USUAL_MS, SHARE * tookMs), MOST_WORK_MS);
    },
  };
}
