// A contestant is a process of its own that answers each line "go", or the name of a task where it has several, with the seconds of
// one round, and "end" with its peak resident bytes. Contestants take turns, so that whatever else the machine does meets all of them alike.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface Contestant {
  readonly name: string;
  round(task?: string): Promise<number>;
  /** Ends the process; peak resident bytes over its life. */
  end(): Promise<number>;
}

/** Starts it and waits for the line "ready". null when the program or a library of it is missing (exit code 3 or no program). */
export async function startContestant(
  name: string,
  command: string,
  args: readonly string[],
): Promise<Contestant | null> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = new Promise<number | null>((resolve) => {
    child.on("error", () => resolve(3));
    child.on("exit", (code) => resolve(code));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<string | null> => {
    const next = await lines.next();
    return next.done ? null : next.value;
  };
  const ask = async (question: string): Promise<number> => {
    child.stdin.write(`${question}\n`);
    const line = await answer();
    const value = Number(line);
    if (line === null || !Number.isFinite(value)) throw new Error(`${name} answered ${line} to ${question}`);
    return value;
  };
  for (let line = await answer(); line !== "ready"; line = await answer()) {
    if (line !== null) continue;
    const code = await exited;
    if (code === 3) return null;
    throw new Error(`${name} ended with code ${code} before it was ready`);
  }
  return { name, round: (task = "go") => ask(task), end: () => ask("end") };
}

/** The other end, for contestants of ours: runs `round` for each line. It may answer with the seconds that count, else all of them do. */
export async function serveRounds(round: (task: string) => Promise<unknown>): Promise<void> {
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "end") {
      process.stdout.write(`${process.resourceUsage().maxRSS * 1024}\n`);
      break;
    }
    const start = performance.now();
    const counted = await round(line);
    process.stdout.write(`${typeof counted === "number" ? counted : (performance.now() - start) / 1000}\n`);
  }
  process.exit(0);
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}
