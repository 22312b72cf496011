/**
 * One optimiser step of a TopK sae (forward, gradients, clipping, Adam, unit-norm decoder), against the encoder product alone
 * (the floor: no step can do without it) and against SAELens and sparsify on torch, where Python has them.
 */
import { cpus } from "node:os";
import { createRandom } from "../engine/runtime/random.ts";
import { openSession } from "../engine/runtime/session.ts";
import { tensor } from "../engine/runtime/tensor.ts";
import { architectures } from "../engine/sae/architectures/table.ts";
import { resolveConfig } from "../engine/sae/config.ts";
import { preActivationGraph } from "../engine/sae/graphs.ts";
import { createLearner, initialState } from "../engine/sae/learner.ts";
import { type Contestant, type Spread, serveRounds, spread, startContestant } from "./contestant.ts";

const sizes = {
  paper: { dModel: 1024, width: 16_384, k: 50, batchRows: 4096, microBatchRows: 512 },
  demo: { dModel: 160, width: 2048, k: 32, batchRows: 2048, microBatchRows: 512 },
} as const;
type Size = (typeof sizes)[keyof typeof sizes];

const peers = ["sparsify", "saelens"] as const;

/** `npm run bench -- sae-step [paper|demo] [rounds]` */
export async function benchSaeStep(args: readonly string[]) {
  const [sizeName = "paper", roundsText = "5"] = args;
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
  const started = [await own("ours"), await own("floor"), ...(await Promise.all(peers.map(peer)))];
  const contestants = started.filter((one) => one !== null);

  const seconds = new Map<string, number[]>(contestants.map(({ name }) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const contestant of contestants) {
      const time = await contestant.round();
      // The first round of each pays for pages and caches.
      if (round >= 0) seconds.get(contestant.name)!.push(time);
    }
  }
  const peakBytes = new Map<string, number>();
  for (const contestant of contestants) peakBytes.set(contestant.name, await contestant.end());
  return report(sizeName, size, contestants, seconds, peakBytes);
}

function report(
  sizeName: string,
  size: Size,
  contestants: readonly Contestant[],
  seconds: ReadonlyMap<string, number[]>,
  peakBytes: ReadonlyMap<string, number>,
) {
  const of = (name: string) => ({ seconds: spread(seconds.get(name)!), peak_resident_bytes: peakBytes.get(name)! });
  const present = contestants.map(({ name }) => name).filter((name) => name !== "ours" && name !== "floor");
  const fastest = present.toSorted((a, b) => of(a).seconds.median - of(b).seconds.median)[0];
  const ours = seconds.get("ours")!;
  /** Ratios round by round: neighbours in time are what can be compared on a shared machine. */
  const perRound = (other: string, ratio: (ours: number, other: number) => number): Spread =>
    spread(ours.map((time, i) => ratio(time, seconds.get(other)![i]!)));
  const bytes = (other: string) => {
    const ratio = peakBytes.get("ours")! / peakBytes.get(other)!;
    return { median: ratio, min: ratio, max: ratio };
  };
  return {
    name: "sae-step",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: { size: sizeName, ...size, rounds: ours.length },
    ours: of("ours"),
    floor: of("floor"),
    peer: fastest === undefined ? null : { fastest, ...Object.fromEntries(present.map((name) => [name, of(name)])) },
    ratios: {
      "sae-step.floor": perRound("floor", (mine, floor) => mine / floor),
      ...(fastest === undefined
        ? {}
        : {
            "sae-step.fastest_peer": perRound(fastest, (mine, theirs) => theirs / mine),
            "sae-step.memory": bytes(fastest),
          }),
    },
  };
}

/** Rows like a residual stream's: correlated dimensions around an offset. */
function makeRows({ dModel, batchRows }: Size): Float32Array {
  const random = createRandom(0);
  const offset_D = Float32Array.from({ length: dModel }, () => random.normal());
  return Float32Array.from({ length: batchRows * dModel }, (_, i) => offset_D[i % dModel]! + random.normal());
}

async function play(role: string, size: Size): Promise<void> {
  const x_BD = makeRows(size);
  const config = resolveConfig({ layer: 0, rows: size.batchRows * 1000, scaleInput: false, medianRows: 256, ...size });
  const state = initialState(config, x_BD, createRandom(1));
  if (role === "ours") {
    const learner = createLearner(config, state, await architectures.topk.open(config, {}));
    return serveRounds(async () => {
      await learner.step(x_BD);
    });
  }
  const { dModel, width, batchRows, microBatchRows: rows } = size;
  const session = await openSession(preActivationGraph(size));
  const W_enc = tensor("float32", state.weights.W_enc_FD, [width, dModel]);
  const b_enc = tensor("float32", state.weights.b_enc_F);
  const pre = tensor("float32", new Float32Array(rows * width), [rows, width]);
  return serveRounds(async () => {
    for (let b = 0; b < batchRows; b += rows) {
      const x = tensor("float32", x_BD.subarray(b * dModel, (b + rows) * dModel), [rows, dModel]);
      await session.run({ x, W_enc, b_enc }, { into: { pre } });
    }
  });
}

const [role, sizeName] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename && role !== undefined) {
  await play(role, sizes[sizeName as keyof typeof sizes]);
}
