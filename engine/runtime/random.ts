// Random numbers that depend on nothing but a seed. Everything in the engine that draws, draws from here.
//
// sfc32 (Chris Doty-Humphrey's small fast counting generator, PractRand suite): four 32-bit words of state with a
// counter, passes PractRand and BigCrush, and needs only 32-bit integer arithmetic, which is exact in JavaScript.

export interface Random {
  /** Uniform in [0, 1), a multiple of 2⁻⁵³. */
  float(): number;
  /** Standard normal. */
  normal(): number;
  /** Uniform integer in 0 … n − 1. */
  int(n: number): number;
  /** Reorders in place, every order equally likely; returns the same array. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T;
  /** An independent generator for a named purpose; forking draws nothing, so adding a fork changes no other numbers. */
  fork(name: string): Random;
  /** Serialisable; restore continues with exactly the same numbers. */
  state(): RandomState;
  restore(state: RandomState): void;
}

/** Seed material for forks, the four words, and the second normal of a pair when one is waiting. */
export interface RandomState {
  readonly seed: string;
  readonly words: readonly [number, number, number, number];
  readonly spare: number | null;
}

export function createRandom(seed: number | bigint | string): Random {
  return build(String(seed));
}

function build(seed: string): Random {
  let [a, b, c, counter] = seedWords(seed);
  let spare: number | null = null;
  let name = seed;

  const next = (): number => {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result >>> 0;
  };
  // Lets every bit of the seed reach every bit of the state.
  for (let i = 0; i < 15; i++) next();

  const random: Random = {
    float: () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) * 2 ** -53,
    normal() {
      if (spare !== null) {
        const waiting = spare;
        spare = null;
        return waiting;
      }
      // Box–Muller; 1 − u is in (0, 1], so its logarithm is finite.
      const radius = Math.sqrt(-2 * Math.log(1 - random.float()));
      const angle = 2 * Math.PI * random.float();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    int(n) {
      if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) throw new RangeError(`int needs 1 ≤ n ≤ 2³², got ${n}`);
      // Values of the last, incomplete block are drawn again: otherwise small results would be likelier.
      const limit = 2 ** 32 - (2 ** 32 % n);
      for (;;) {
        const value = next();
        if (value < limit) return value % n;
      }
    },
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = random.int(i + 1);
        const kept = items[i];
        (items as { [index: number]: unknown })[i] = items[j];
        (items as { [index: number]: unknown })[j] = kept;
      }
      return items;
    },
    fork: (purpose) => build(`${name}/${purpose}`),
    state: () => ({ seed: name, words: [a, b, c, counter], spare }),
    restore(state) {
      [a, b, c, counter] = state.words;
      spare = state.spare;
      name = state.seed;
    },
  };
  return random;
}

/** Four words from text: FNV-1a from four starting points, each finished with a multiply-xorshift mix. */
function seedWords(text: string): [number, number, number, number] {
  const word = (start: number): number => {
    let hash = start;
    for (const byte of Buffer.from(text, "utf8")) hash = Math.imul(hash ^ byte, 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return hash ^ (hash >>> 16);
  };
  return [word(0x811c9dc5), word(0x9e3779b9), word(0x243f6a88), 1];
}
