import { expect, test } from "vitest";
import { createCheckpointClock, MOST_WORK_MS } from "../../workers/jobs/checkpoint-clock.ts";

/** Pieces of work of so many milliseconds each; the longest work between two checkpoints, and how many there were. */
function longestWork(pieceMs: number, saveMs: number, everySteps?: number) {
  let now = 0;
  let kept = 0;
  let longest = 0;
  let saved = 0;
  const clock = createCheckpointClock(0, everySteps, () => now);
  for (let step = 1; now < 4 * 3600_000; step++) {
    now += pieceMs;
    longest = Math.max(longest, now - kept);
    if (!clock.isDue(step)) continue;
    now += saveMs;
    saved++;
    clock.saved(step, saveMs);
    kept = now;
  }
  return { longest, saved, pieces: now / (pieceMs + saveMs) };
}

test("checkpoints are at most five minutes of work apart, however long a step and a checkpoint take", () => {
  for (const pieceMs of [20, 1_000, 45_000, 70_000, 149_000]) {
    for (const saveMs of [5, 4_000, 60_000]) {
      for (const everySteps of [undefined, 1_000_000]) {
        expect(longestWork(pieceMs, saveMs, everySteps).longest, `${pieceMs} ${saveMs}`).toBeLessThanOrEqual(
          MOST_WORK_MS,
        );
      }
    }
  }
});

test("a piece of more than half of that is kept each time", () => {
  const { saved, pieces } = longestWork(200_000, 1_000);
  expect(saved).toBe(Math.round(pieces));
});

test("checkpoints are half a minute apart when they are cheap, and otherwise take a twentieth of the time", () => {
  expect(longestWork(1_000, 10).longest).toBeLessThanOrEqual(31_000);
  const { longest } = longestWork(1_000, 5_000);
  expect(longest).toBeGreaterThanOrEqual(100_000);
  expect(longest).toBeLessThanOrEqual(101_000);
});

test("asked for every so many steps, a checkpoint comes after as many", () => {
  expect(longestWork(1_000, 10, 7).longest).toBe(7_000);
});
