/**
 * Residual streams of whole texts at Qwen3-0.6B's shapes: at the middle layer, where both sides stop after it, and at all layers,
 * against transformers with forward hooks. The floor is the products with weights at the rate at which a large one runs.
 */
import { cpus } from "node:os";
import { forwardTaps } from "../engine/llm/chunked-forward.ts";
import { harvest } from "../engine/llm/harvest.ts";
import { type LanguageModel, openModel } from "../engine/llm/model.ts";
import { createRandom } from "../engine/runtime/random.ts";
import { serveRounds, spread, startContestant } from "./contestant.ts";
import { openProduct } from "./product-rate.ts";
import { randomCheckpoint } from "./random-checkpoint.ts";

const threads = 2;
const textTokens = 512;
/** Parameters of one block's matrices. */
const blockParameters = 2 * 1024 * 2048 + 2 * 1024 * 1024 + 3 * 1024 * 3072;

const tasks = ["one_layer", "no_layer", "all_layers", "product"] as const;
type Task = (typeof tasks)[number];
const peerTasks: readonly Task[] = ["one_layer", "all_layers"];

/** `npm run bench -- prefill [rounds] [texts] [layers]` */
export async function benchPrefill(args: readonly string[]) {
  const [rounds = 3, texts = 4, layers = 28] = args.map(Number);
  const folder = await randomCheckpoint({ layers, dtype: "float32" });
  const own = [...process.execArgv, import.meta.filename, folder, String(texts)];
  const ours = (await startContestant("ours", process.execPath, own))!;
  const script = new URL("./peers/prefill.py", import.meta.url).pathname;
  const peer = await startContestant("transformers", "python3", [
    script,
    ...[folder, texts, textTokens, threads].map(String),
  ]);
  const mine = new Map<Task, number[]>(tasks.map((task) => [task, []]));
  const theirs = new Map<Task, number[]>(peerTasks.map((task) => [task, []]));
  for (let round = -1; round < rounds; round++) {
    for (const task of tasks) {
      const result = await ours.round(task);
      const seconds = peerTasks.includes(task) ? await peer?.round(task) : undefined;
      // The first round of each touches every page.
      if (round < 0) continue;
      mine.get(task)!.push(result);
      if (seconds !== undefined) theirs.get(task)!.push(seconds);
    }
  }
  const peak = { ours: await ours.end(), peer: await peer?.end() };

  const tokens = texts * textTokens;
  const rate = (seconds: readonly number[]) => ({ tokens_per_second: spread(seconds.map((time) => tokens / time)) });
  const against = (task: Task) => spread(mine.get(task)!.map((time, round) => theirs.get(task)![round]! / time));
  const product = spread(mine.get("product")!);
  const runLayers = Math.floor(layers / 2) + 1;
  const floor = (count: number) => ({
    operations: 2 * tokens * count * blockParameters,
    tokens_per_second: product.median / (2 * count * blockParameters),
  });
  return {
    name: "prefill",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: { shape: "qwen3-0.6b", dtype: "float32", threads, texts, text_tokens: textTokens, layers, rounds },
    ours: {
      one_layer: rate(mine.get("one_layer")!),
      no_layer: rate(mine.get("no_layer")!),
      all_layers: rate(mine.get("all_layers")!),
      peak_resident_bytes: peak.ours,
    },
    peer: peer && {
      name: "transformers",
      one_layer: rate(theirs.get("one_layer")!),
      all_layers: rate(theirs.get("all_layers")!),
      peak_resident_bytes: peak.peer,
    },
    floor: { operations_per_second: product, one_layer: floor(runLayers), all_layers: floor(layers) },
    ratios: {
      ...(peer ? { "prefill.one_layer": against("one_layer"), "prefill.all_layers": against("all_layers") } : {}),
      "prefill.all_layers_overhead": spread(
        mine.get("all_layers")!.map((time, round) => time / mine.get("no_layer")![round]! - 1),
      ),
    },
  };
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

function texts({ config }: LanguageModel, count: number): Int32Array[] {
  const random = createRandom(0);
  return Array.from({ length: count }, () =>
    Int32Array.from({ length: textTokens }, () => random.int(config.vocabulary)),
  );
}

async function play(folder: string, count: number): Promise<void> {
  const model = await openModel(folder, { threads });
  const sequences = texts(model, count);
  const { layers } = model.config;
  const batchTokens = count * textTokens;
  const product = await openProduct(threads);
  const run: Readonly<Record<Task, () => Promise<unknown>>> = {
    one_layer: () => drain(harvest(model, sequences, { layers: [Math.floor(layers / 2)], batchTokens })),
    all_layers: () => drain(harvest(model, sequences, { layers: [...Array(layers).keys()], batchTokens })),
    no_layer: () =>
      forwardTaps(model, {
        sequences: count,
        tokens: textTokens,
        ids: Int32Array.from(sequences.flatMap((ids) => [...ids])),
        taps: [],
      }),
    product,
  };
  return serveRounds((task) => run[task as Task]());
}

const [folder, count] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename) await play(folder!, Number(count));
