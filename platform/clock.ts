// Time as something that is passed in. Leases and rows use the database's clock; this one is for what stays in a process.
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
