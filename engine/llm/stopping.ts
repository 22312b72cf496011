// Stop strings in text that arrives in pieces.

export interface StopMatcher {
  /**
   * Takes the next piece. `text` is what may be shown now: everything before the first stop string, less a tail that could still turn
   * out to be the beginning of one. After `stopped` the matcher takes nothing more.
   */
  push(piece: string): { readonly text: string; readonly stopped: boolean };
  /** The text still held back, when no more will come. */
  flush(): string;
}

export function createStopMatcher(stops: readonly string[]): StopMatcher {
  if (stops.includes("")) throw new RangeError("a stop string must not be empty");
  let held = "";
  return {
    push(piece) {
      held += piece;
      const first = stops.reduce((earliest, stop) => {
        const at = held.indexOf(stop);
        return at >= 0 && at < earliest ? at : earliest;
      }, Number.POSITIVE_INFINITY);
      if (first !== Number.POSITIVE_INFINITY) {
        const text = held.slice(0, first);
        held = "";
        return { text, stopped: true };
      }
      const keep = stops.reduce((longest, stop) => Math.max(longest, openEnd(held, stop)), 0);
      const text = held.slice(0, held.length - keep);
      held = held.slice(held.length - keep);
      return { text, stopped: false };
    },
    flush() {
      const rest = held;
      held = "";
      return rest;
    },
  };
}

/** Length of the longest end of the text that is a proper beginning of the stop string. */
function openEnd(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
