/**
 * Open models and saes of one device process, counted in bytes from before they are opened. What is in use is never
 * closed; of the rest the least recently used goes first when a newcomer does not fit, and a newcomer for which that
 * is not enough is refused: a process beyond its memory is killed with everything that runs in it.
 */
import { Problem } from "../domain/problem.ts";

export interface Resident {
  readonly sizeBytes: number;
  close(): Promise<void>;
}

export interface Lease<T> {
  readonly value: T;
  release(): void;
}

export interface Residency {
  /**
   * Opens the thing under its key, or waits for the one being opened. Release exactly once. `sizeBytes` is what it will
   * take in memory: reserved until it is open and tells its own.
   *
   * @throws Problem MEMORY_INSUFFICIENT when it can never fit; `whenFull` when what is in use leaves no room
   */
  use<T extends Resident>(key: string, sizeBytes: number, open: () => Promise<T>): Promise<Lease<T>>;
  close(): Promise<void>;
  readonly residentBytes: number;
  keys(): string[];
}

interface Entry {
  readonly key: string;
  readonly opening: Promise<Resident>;
  sizeBytes: number;
  users: number;
}

/**
 * `whenFull` is what a newcomer hears that would fit if less were in use: to come again where others use it, and that
 * its own demands are too large where one piece of work has the process to itself.
 */
export function createResidency(
  limitBytes: number,
  whenFull: "WORKER_UNAVAILABLE" | "MEMORY_INSUFFICIENT" = "WORKER_UNAVAILABLE",
): Residency {
  // A Map keeps insertion order; a used entry is moved to the end, so the first idle one is the oldest.
  const entries = new Map<string, Entry>();
  // Evicted, but their memory is not free yet.
  const closings = new Set<Promise<void>>();
  const total = () => [...entries.values()].reduce((sum, entry) => sum + entry.sizeBytes, 0);

  /** At once, so that two newcomers never count on the same room. Closes nothing for one that is refused. */
  function makeRoom(neededBytes: number): void {
    if (neededBytes > limitBytes) {
      throw new Problem("MEMORY_INSUFFICIENT", `${neededBytes} bytes are needed; a worker may use ${limitBytes}`);
    }
    const inUse = [...entries.values()].reduce((sum, entry) => sum + (entry.users > 0 ? entry.sizeBytes : 0), 0);
    if (inUse + neededBytes > limitBytes) {
      const detail = `${neededBytes} bytes of memory are needed; of the worker's ${limitBytes}, ${inUse} are in use`;
      throw new Problem(whenFull, detail);
    }
    for (const entry of [...entries.values()]) {
      if (total() + neededBytes <= limitBytes) return;
      if (entry.users > 0) continue;
      entries.delete(entry.key);
      const closing = entry.opening.then((resident) => resident.close()).finally(() => closings.delete(closing));
      closings.add(closing);
    }
  }

  return {
    async use<T extends Resident>(key: string, sizeBytes: number, open: () => Promise<T>): Promise<Lease<T>> {
      let entry = entries.get(key);
      if (entry) {
        entries.delete(key);
        entries.set(key, entry);
        entry.users += 1;
      } else {
        makeRoom(sizeBytes);
        const created: Entry = { key, sizeBytes, users: 1, opening: Promise.all(closings).then(open) };
        entry = created;
        entries.set(key, created);
        created.opening.then(
          (resident) => {
            created.sizeBytes = resident.sizeBytes;
          },
          () => {
            if (entries.get(key) === created) entries.delete(key);
          },
        );
      }
      const used = entry;
      let released = false;
      const value = (await used.opening) as T;
      return {
        value,
        release() {
          if (released) return;
          released = true;
          used.users -= 1;
        },
      };
    },
    async close() {
      const closing = [...entries.values()];
      entries.clear();
      for (const entry of closing) {
        const resident = await entry.opening.catch(() => null);
        await resident?.close();
      }
      await Promise.all(closings);
    },
    get residentBytes() {
      return total();
    },
    keys: () => [...entries.keys()],
  };
}
