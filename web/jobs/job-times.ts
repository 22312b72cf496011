interface Times {
  readonly started_at: string | null;
  readonly finished_at: string | null;
}

/** How long it ran, or has been running; null before it starts. */
export function secondsOf({ started_at, finished_at }: Times, nowMs: number = Date.now()): number | null {
  if (started_at === null) return null;
  const end = finished_at === null ? nowMs : Date.parse(finished_at);
  return Math.max(0, (end - Date.parse(started_at)) / 1000);
}
