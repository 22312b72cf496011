/**
 * Open models and saes of one device process, counted in bytes. What is in use is never closed; of the rest the
 * least recently used goes first when a newcomer does not fit.
 */

export interface Resident {
  readonly sizeBytes: number;
  close(): Promise<void>;
}

export interface Lease<T> {
  readonly value: T;
  release(): void;
}

export interface Residency {
  /** Opens the thing under its key, or waits for the one being opened. Release exactly once. */
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

export function createResidency(limitBytes: number): Residency {
  // A Map keeps insertion order; a used entry is moved to the end, so the first idle one is the oldest.
  const entries = new Map<string, Entry>();
  const total = () => [...entries.values()].reduce((sum, entry) => sum + entry.sizeBytes, 0);

  async function makeRoom(neededBytes: number): Promise<void> {
    for (const entry of [...entries.values()]) {
      if (total() + neededBytes <= limitBytes) return;
      if (entry.users > 0) continue;
      entries.delete(entry.key);
      await (await entry.opening).close();
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
        // The room is made inside `opening`, so that a second caller finds the entry at once.
        const created: Entry = { key, sizeBytes: 0, users: 1, opening: makeRoom(sizeBytes).then(open) };
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
    },
    get residentBytes() {
      return total();
    },
    keys: () => [...entries.keys()],
  };
}
