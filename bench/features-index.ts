/**
 * An index of an sae's features on the demonstration model, against the pass that it needs anyhow: the same texts, tokenised, put into the same
 * windows and run up to the same layer, with nothing done to the activations. What it costs once, however many tokens were read (logit lens,
 * neighbours, writing), is measured beside it and added when the figure is carried to the whole corpus.
 */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { createFeatureIndex } from "../engine/features/feature-index.ts";
import { nearestDirections } from "../engine/features/nearest-directions.ts";
import { harvest } from "../engine/llm/harvest.ts";
import { logitLens } from "../engine/llm/logit-lens.ts";
import { openModel } from "../engine/llm/model.ts";
import type { SparseAutoencoder } from "../engine/sae/architecture.ts";
import { featureGeometry } from "../engine/sae/feature-table.ts";
import { readSaelens } from "../engine/sae/layouts/saelens.ts";
import { type OpenedSae, openSae } from "../engine/sae/open-sae.ts";
import { HARVEST_TOKENS } from "../workers/activation-source.ts";
import { writeIndex } from "../workers/jobs/features/feature-index-output.ts";
import type { JobContext } from "../workers/jobs/handler.ts";
import { sequenceWindows } from "../workers/sequence-windows.ts";
import { createTokenOrder, FIRST_PLACE, type TokenPlace } from "../workers/token-order.ts";
import { serveRounds, spread, startContestant } from "./contestant.ts";

const threads = 2;
const wholeTokens = 2_500_000;
const contextTokens = 256;
const tasks = ["harvest", "index"] as const;
type Task = (typeof tasks)[number];

/** Every round reads the next part of the text. `npm run bench -- features-index [rounds] [tokens of a part] [layers, joined by commas]` */
export async function benchFeaturesIndex(args: readonly string[]) {
  const [rounds = 6, tokens = 50_000] = args.slice(0, 2).map(Number);
  const layers = args[2] ?? "5";
  const own = [...process.execArgv, import.meta.filename, String(tokens), layers];
  const ours = (await startContestant("ours", process.execPath, own))!;
  // The first part is not counted: its examples are all new.
  for (const task of tasks) await ours.round(task);
  const seconds = new Map<string, number[]>(["harvest", "index", "describe"].map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) for (const [name, all] of seconds) all.push(await ours.round(name));
  const peak = await ours.end();
  const of = (name: string) => seconds.get(name)!;
  // The rest of the corpus costs as much per token; the descriptions cost what they cost.
  const scale = wholeTokens / tokens;
  const whole = of("index").map((time, i) => time * scale + of("describe")[i]!);
  return {
    name: "features-index",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: { model: "demo-small", layers: layers.split(",").map(Number), tokens, wholeTokens, threads, rounds },
    ours: {
      ...{ harvest: { seconds: spread(of("harvest")) }, index: { seconds: spread(of("index")) } },
      ...{ describe: { seconds: spread(of("describe")) }, whole: { seconds: spread(whole) } },
      peak_resident_bytes: peak,
    },
    peer: null,
    floor: null,
    ratios: { "features-index.forward": spread(whole.map((time, i) => time / (of("harvest")[i]! * scale))) },
  };
}

async function play(tokens: number, layers: readonly number[]): Promise<void> {
  const model = await openModel("assets/models/demo-small", { threads });
  const texts = readFileSync("assets/text/train.jsonl", "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).text as string);
  const samples = { count: texts.length, read: async (at: number) => ({ text: texts[at]! }), close: async () => {} };
  const encode = (text: string) => Int32Array.from(model.tokenizer.encode(text, { addSpecial: true }));
  const opened: { layer: number; sae: SparseAutoencoder; use: OpenedSae }[] = [];
  for (const layer of layers) {
    const { sae } = await readSaelens(`assets/saes/demo-small-topk/layer${layer}`);
    opened.push({ layer, sae, use: await openSae(sae, { threads }) });
  }
  const indexes = opened.map(({ sae }) =>
    createFeatureIndex({ width: sae.width, top: 10, perBand: 2, before: 16, after: 8, seed: 0 }),
  );
  let place: TokenPlace = FIRST_PLACE;

  /** The part of the text that begins at `place`; an index goes on to the next one. */
  async function pass(task: Task): Promise<void> {
    const order = createTokenOrder({ samples, encode, contextLength: contextTokens, seed: 0, heldOutFraction: 0 });
    let end = place;
    for await (const { sequences, next } of sequenceWindows(order.from(place), tokens)) {
      end = next;
      const ids = sequences.map((sequence) => sequence.ids);
      for await (const batch of harvest(model, ids, { layers, batchTokens: HARVEST_TOKENS })) {
        if (task === "harvest") continue;
        for (const [i, { layer, use }] of opened.entries()) {
          const active = await use.encode(batch.activations[batch.layers.indexOf(layer)]!);
          indexes[i]!.add(batch, active, (sequence) => sequences[sequence]!);
        }
      }
    }
    if (task === "index") place = end;
  }

  async function describe(): Promise<void> {
    for (const [i, { sae, layer }] of opened.entries()) {
      const lens = await logitLens(model, sae.W_dec_FD, { count: 10 });
      const nearest = await nearestDirections(sae.W_dec_FD, sae.dModel, { count: 10, threads });
      const row = { id: "sae", name: "sae", layer, width: sae.width } as Parameters<typeof writeIndex>[0]["row"];
      const { decoderNorm_F } = featureGeometry(sae);
      const made = { row, index: indexes[i]!, decoderNorm_F, lens, nearest, tokenizer: model.tokenizer };
      await writeIndex(made, withoutStore);
    }
  }

  return serveRounds((task) => (task === "describe" ? describe() : pass(task as Task)));
}

/** What is written is counted and thrown away. */
const withoutStore = {
  blobs: {
    async put(bytes: AsyncIterable<Uint8Array> | Uint8Array) {
      let sizeBytes = 0;
      if (bytes instanceof Uint8Array) sizeBytes = bytes.length;
      else for await (const part of bytes) sizeBytes += part.length;
      return { digest: "", sizeBytes };
    },
  },
  step: async () => {},
  signal: new AbortController().signal,
} as unknown as JobContext;

const [tokens, layers] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename) await play(Number(tokens), layers!.split(",").map(Number));
