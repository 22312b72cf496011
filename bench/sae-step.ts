/**
 * One optimiser step of a TopK sae (forward, gradients, clipping, Adam, unit-norm decoder, AuxK), against the encoder product alone
 * (the floor) and against sparsify, SAELens and dictionary_learning on torch, where Python has them.
 */
import { cpus } from "node:os";
import { type Contestant, type Spread, serveRounds, spread, startContestant } from "./contestant.ts";
import { openProduct, openStep } from "./sae-work.ts";

/** auxK: half of D, which is what the peers take. */
const sizes = {
  paper: { dModel: 1024, width: 16_384, k: 50, batchRows: 4096, microBatchRows: 512, auxK: 512 },
  demo: { dModel: 160, width: 2048, k: 32, batchRows: 2048, microBatchRows: 512, auxK: 80 },
} as const;
type Size = (typeof sizes)[keyof typeof sizes];

/** Part of the features that AuxK finds dead at every step. */
const tasks = { none_dead: 0, tenth_dead: 0.1 } as const;
type Task = keyof typeof tasks;

/** `npm run bench -- sae-step [paper|demo] [rounds] [peer,…]` */
export async function benchSaeStep(args: readonly string[]) {
  const [sizeName = "paper", roundsText = "4", peerNames = "sparsify,saelens,dictionary_learning"] = args;
  if (!Object.hasOwn(sizes, sizeName))
    throw new RangeError(`size must be ${Object.keys(sizes).join(" or ")}, got ${sizeName}`);
  const size = sizes[sizeName as keyof typeof sizes];
  const rounds = Number(roundsText);

  const own = (role: string) =>
    startContestant(role, process.execPath, [...process.execArgv, import.meta.filename, role, sizeName]);
  const peer = (name: string) => {
    const { dModel, width, k, batchRows, microBatchRows } = size;
    const script = new URL("./peers/sae_step.py", import.meta.url).pathname;
    return startContestant(name, "python3", [
      script,
      name,
      ...[dModel, width, k, batchRows, microBatchRows].map(String),
    ]);
  };
  const started = [await own("ours"), await own("floor"), ...(await Promise.all(peerNames.split(",").map(peer)))];
  const contestants = started.filter((one) => one !== null);

  const seconds = {} as Record<Task, Map<string, number[]>>;
  for (const task of Object.keys(tasks) as Task[]) seconds[task] = await takeTurns(contestants, task, rounds);
  const peakBytes = new Map<string, number>();
  for (const contestant of contestants) peakBytes.set(contestant.name, await contestant.end());
  return report(sizeName, size, seconds, peakBytes);
}

/** Seconds of each. The first round pays for pages and caches and is not counted; after one more only the fastest peer goes on. */
async function takeTurns(
  contestants: readonly Contestant[],
  task: Task,
  rounds: number,
): Promise<Map<string, number[]>> {
  const seconds = new Map<string, number[]>(contestants.map(({ name }) => [name, []]));
  let fastest: string | undefined;
  for (let round = -1; round < rounds; round++) {
    if (round === 1) fastest = fastestPeer(seconds);
    for (const contestant of contestants) {
      const isSlow = isPeer(contestant.name) && contestant.name !== fastest;
      if (round > 0 && isSlow) continue;
      const time = await contestant.round(task);
      if (round >= 0) seconds.get(contestant.name)!.push(time);
    }
  }
  return seconds;
}

const isPeer = (name: string) => name !== "ours" && name !== "floor";

/** By the first counted round, in which all take part. */
function fastestPeer(seconds: ReadonlyMap<string, readonly number[]>): string | undefined {
  const names = [...seconds.keys()].filter(isPeer);
  return names.toSorted((a, b) => seconds.get(a)![0]! - seconds.get(b)![0]!)[0];
}

function report(
  sizeName: string,
  size: Size,
  seconds: Readonly<Record<Task, ReadonlyMap<string, number[]>>>,
  peakBytes: ReadonlyMap<string, number>,
) {
  const of = (name: string) => ({
    seconds: spread(seconds.none_dead.get(name)!),
    seconds_tenth_dead: spread(seconds.tenth_dead.get(name)!),
    peak_resident_bytes: peakBytes.get(name)!,
  });
  const fastest = fastestPeer(seconds.none_dead);
  const present = [...peakBytes.keys()].filter(isPeer);
  /** Ratios round by round: neighbours in time are what can be compared on a shared machine. */
  const perRound = (task: Task, other: string | undefined, ratio: (ours: number, other: number) => number): Spread =>
    spread(seconds[task].get("ours")!.map((time, i) => ratio(time, seconds[task].get(other ?? "floor")![i]!)));
  const bytes = (other: string): Spread => {
    const ratio = peakBytes.get("ours")! / peakBytes.get(other)!;
    return { median: ratio, min: ratio, max: ratio };
  };
  const overFloor = (mine: number, floor: number) => mine / floor;
  const throughput = (mine: number, theirs: number) => theirs / mine;
  return {
    name: "sae-step",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: { size: sizeName, ...size, rounds: seconds.none_dead.get("ours")!.length },
    ours: of("ours"),
    floor: of("floor"),
    peer: fastest === undefined ? null : { fastest, ...Object.fromEntries(present.map((name) => [name, of(name)])) },
    ratios: {
      "sae-step.floor": perRound("none_dead", "floor", overFloor),
      "sae-step.floor_tenth_dead": perRound("tenth_dead", "floor", overFloor),
      ...(fastest === undefined
        ? {}
        : {
            "sae-step.fastest_peer": perRound("none_dead", fastest, throughput),
            "sae-step.fastest_peer_tenth_dead": perRound("tenth_dead", fastestPeer(seconds.tenth_dead), throughput),
            "sae-step.memory": bytes(fastest),
          }),
    },
  };
}

async function play(role: string, size: Size): Promise<void> {
  if (role === "ours") {
    const step = await openStep(size);
    return serveRounds((task) => step(tasks[task as Task]));
  }
  return serveRounds(await openProduct(size));
}

const [role, sizeName] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename && role !== undefined) {
  await play(role, sizes[sizeName as keyof typeof sizes]);
}
