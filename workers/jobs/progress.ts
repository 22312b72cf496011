/** Progress with a rate that follows the work: an average over the last minute, not over a run that may have paused. */
import type { Progress } from "../protocol.ts";

const WINDOW_MS = 60_000;

export interface ProgressMeter {
  at(done: number): Progress;
}

/** `now` is monotonic milliseconds; passed in so that tests own the time. */
export function createProgressMeter(
  total: number,
  unit: string,
  now: () => number = () => performance.now(),
): ProgressMeter {
  const marks: { done: number; time: number }[] = [];
  return {
    at(done) {
      const time = now();
      marks.push({ done, time });
      while (marks.length > 2 && marks[0]!.time < time - WINDOW_MS) marks.shift();
      const first = marks[0]!;
      const seconds = (time - first.time) / 1000;
      const rate = seconds > 0 && done > first.done ? (done - first.done) / seconds : null;
      return { done, total, unit, rate, eta_s: rate === null ? null : (total - done) / rate };
    },
  };
}
