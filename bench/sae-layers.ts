/**
 * Saes of layers 12, 13, 26 and 27 at Qwen3-0.6B's shapes from one forward, activations never on disk: tokens in, one optimiser step of
 * each out. Against four runs of ours, each with a forward up to its own layer, and against sparsify with four hookpoints.
 * The floor is the products of that one forward at the rate at which a large one runs.
 */
import { cpus } from "node:os";
import { harvest } from "../engine/llm/harvest.ts";
import { openModel } from "../engine/llm/model.ts";
import type { ActivationBatch } from "../engine/runtime/activations.ts";
import { createRandom } from "../engine/runtime/random.ts";
import { createTrainer, type Trainer } from "../engine/sae/trainer.ts";
import { serveRounds, spread, startContestant } from "./contestant.ts";
import { openProduct } from "./product-rate.ts";
import { randomCheckpoint } from "./random-checkpoint.ts";

const threads = 2;
const layers = [12, 13, 26, 27];
const modelLayers = 28;
const dModel = 1024;
const width = 8192;
const k = 50;
const textTokens = 512;
const blockParameters = 2 * 1024 * 2048 + 2 * 1024 * 1024 + 3 * 1024 * 3072;

const tasks = ["together", "separate", "product"] as const;
type Task = (typeof tasks)[number];

/** `npm run bench -- sae-layers [rounds] [texts of 512 tokens]` */
export async function benchSaeLayers(args: readonly string[]) {
  const [rounds = 3, texts = 2] = args.map(Number);
  const folder = await randomCheckpoint({ layers: modelLayers, dtype: "float32" });
  const own = [...process.execArgv, import.meta.filename, folder, String(texts)];
  const ours = (await startContestant("ours", process.execPath, own))!;
  const script = new URL("./peers/sae_layers.py", import.meta.url).pathname;
  const numbers = [texts, textTokens, width, k, threads].map(String);
  const peer = await startContestant("sparsify", "python3", [script, folder, layers.join(), ...numbers]);
  await peer?.round();

  const seconds = new Map<Task | "peer", number[]>([...tasks, "peer" as const].map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const task of tasks) {
      seconds.get(task)!.push(await ours.round(task));
      if (task === "together" && peer) seconds.get("peer")!.push(await peer.round());
    }
  }
  const peak = { ours: await ours.end(), peer: await peer?.end() };

  const tokens = texts * textTokens;
  const of = (name: Task | "peer") => ({ seconds: spread(seconds.get(name)!) });
  const together = seconds.get("together")!;
  const operations = 2 * tokens * modelLayers * blockParameters;
  return {
    name: "sae-layers",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: { shape: "qwen3-0.6b", dtype: "float32", layers, width, k, batchRows: tokens, threads, rounds },
    ours: { together: of("together"), separate: of("separate"), peak_resident_bytes: peak.ours },
    peer: peer && { name: "sparsify", ...of("peer"), peak_resident_bytes: peak.peer },
    floor: { operations, seconds: spread(seconds.get("product")!.map((rate) => operations / rate)) },
    ratios: {
      "sae-layers.separate_runs": spread(together.map((time, i) => time / seconds.get("separate")![i]!)),
      ...(peer ? { "sae-layers.peer": spread(together.map((time, i) => seconds.get("peer")![i]! / time)) } : {}),
    },
  };
}

async function play(folder: string, texts: number): Promise<void> {
  const model = await openModel(folder, { threads });
  const random = createRandom(0);
  const sequences = Array.from({ length: texts }, () =>
    Int32Array.from({ length: textTokens }, () => random.int(model.config.vocabulary)),
  );
  const batchRows = texts * textTokens;
  // A buffer of one batch and no filter: every batch of tokens is one step. What mixing costs is a copy.
  const optionsOf = (layer: number) => ({
    ...{ layer, dModel, width, k, batchRows, bufferRows: batchRows, rows: batchRows * 1000 },
    ...{ skipFirstPosition: false, normFactor: 1e9, medianRows: 256 },
  });
  const together = await createTrainer({ saes: layers.map(optionsOf), threads });
  const alone = new Map<number, Trainer>();
  for (const layer of layers) alone.set(layer, await createTrainer({ saes: [optionsOf(layer)], threads }));

  async function learn(trainer: Trainer, taps: readonly number[]): Promise<void> {
    for await (const batch of harvest(model, sequences, { layers: taps, batchTokens: batchRows }))
      await trainer.add(batch);
  }
  // The first step of each draws its weights, which later ones do not.
  const all: ActivationBatch[] = [];
  for await (const batch of harvest(model, sequences, { layers, batchTokens: batchRows })) all.push(batch);
  for (const trainer of [together, ...alone.values()]) for (const batch of all) await trainer.add(batch);

  const run: Readonly<Record<Task, () => Promise<unknown>>> = {
    together: () => learn(together, layers),
    separate: async () => {
      for (const [layer, trainer] of alone) await learn(trainer, [layer]);
    },
    product: await openProduct(threads),
  };
  return serveRounds((task) => run[task as Task]());
}

const [folder, texts] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename) await play(folder!, Number(texts));
