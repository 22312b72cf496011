/**
 * Opening a checkpoint of Qwen3-0.6B's shape, stored in float32 and in bfloat16, until it has given the logits of a first token: time,
 * and peak memory over the bytes of its weights in float32. transformers does the same beside it, into float32.
 */
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseDecoderConfig } from "../engine/llm/config.ts";
import { openModel } from "../engine/llm/model.ts";
import { parameterCount } from "../engine/llm/parameters.ts";
import { type Contestant, serveRounds, spread, startContestant } from "./contestant.ts";
import { randomCheckpoint } from "./random-checkpoint.ts";

const threads = 2;
const dtypes = ["float32", "bfloat16"] as const;
type DType = (typeof dtypes)[number];

interface Opening {
  readonly openSeconds: number;
  readonly firstTokenSeconds: number;
  readonly writtenBytes: number;
  readonly peakBytes: number;
}

/** `npm run bench -- open-model [rounds] [layers]` */
export async function benchOpenModel(args: readonly string[]) {
  const [rounds = 3, layers = 28] = args.map(Number);
  const script = new URL("./peers/open_model.py", import.meta.url).pathname;
  const folders = new Map<DType, string>();
  for (const dtype of dtypes) folders.set(dtype, await randomCheckpoint({ layers, dtype }));
  const mine = new Map<DType, Opening[]>(dtypes.map((dtype) => [dtype, []]));
  const theirs = new Map<DType, Opening[]>(dtypes.map((dtype) => [dtype, []]));
  // Reading the files once puts them where all rounds find them: in the system's cache.
  for (let round = -1; round < rounds; round++) {
    for (const dtype of dtypes) {
      const folder = folders.get(dtype)!;
      const own = [...process.execArgv, import.meta.filename, folder];
      const opened = await opening(await startContestant("ours", process.execPath, own));
      const peer = await opening(await startContestant("transformers", "python3", [script, folder, String(threads)]));
      if (round >= 0) mine.get(dtype)!.push(opened!);
      if (round >= 0 && peer) theirs.get(dtype)!.push(peer);
    }
  }
  const config = parseDecoderConfig(JSON.parse(await readFile(join(folders.get("float32")!, "config.json"), "utf8")));
  const weightBytes = 4 * parameterCount(config);
  const side = (all: ReadonlyMap<DType, readonly Opening[]>) =>
    Object.fromEntries([...all].map(([dtype, openings]) => [dtype, summary(openings)]));
  const withPeer = dtypes.every((dtype) => theirs.get(dtype)!.length === rounds);
  return {
    name: "open-model",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: { shape: "qwen3-0.6b", resident: "float32", threads, layers, rounds },
    ours: side(mine),
    peer: withPeer ? { name: "transformers", ...side(theirs) } : null,
    floor: { weight_bytes: weightBytes },
    ratios: {
      "open-model.memory": spread(
        dtypes.flatMap((dtype) => mine.get(dtype)!.map((own) => own.peakBytes / weightBytes)),
      ),
    },
  };
}

/** One process that opens the model once. */
async function opening(contestant: Contestant | null): Promise<Opening | null> {
  if (!contestant) return null;
  const openSeconds = await contestant.round("open");
  const firstTokenSeconds = await contestant.round("token");
  const writtenBytes = await contestant.round("written");
  return { openSeconds, firstTokenSeconds, writtenBytes, peakBytes: await contestant.end() };
}

function summary(openings: readonly Opening[]) {
  return {
    open_seconds: spread(openings.map(({ openSeconds }) => openSeconds)),
    until_first_token_seconds: spread(openings.map((one) => one.openSeconds + one.firstTokenSeconds)),
    written_bytes: Math.max(...openings.map(({ writtenBytes }) => writtenBytes)),
    peak_resident_bytes: spread(openings.map(({ peakBytes }) => peakBytes)),
  };
}

async function play(folder: string): Promise<void> {
  let model: Awaited<ReturnType<typeof openModel>> | null = null;
  const before = await writtenBytes();
  return serveRounds(async (task) => {
    if (task === "open") model = await openModel(folder, { threads });
    if (task === "token") await model!.forward({ sequences: 1, tokens: 1, ids: Int32Array.of(5), logitRows: [0] });
    return task === "written" ? (await writtenBytes()) - before : undefined;
  });
}

/** What the process has sent to storage, where the system counts it; 0 elsewhere. */
async function writtenBytes(): Promise<number> {
  const counters = await readFile("/proc/self/io", "utf8").catch(() => "");
  return Number(/^write_bytes: (\d+)/m.exec(counters)?.[1] ?? 0);
}

const [folder] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename) await play(folder!);
