/**
 * Decoding one stream with int8 and int4 weights against our own float32, at Qwen3-0.6B's shapes, and what the integers cost a trained
 * model in cross-entropy.
 */
import { readFile, rm, stat } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseDecoderConfig } from "../engine/llm/config.ts";
import { crossEntropyNats } from "../engine/llm/cross-entropy.ts";
import { openCheckpointTensors } from "../engine/llm/expert-tensors.ts";
import { createGenerator } from "../engine/llm/generator.ts";
import { type LanguageModel, openModel } from "../engine/llm/model.ts";
import {
  type QuantizedPrecision,
  quantizedPrecisions,
  writeQuantizedWeights,
} from "../engine/llm/quantized-weights.ts";
import { createRandom } from "../engine/runtime/random.ts";
import type { Device } from "../engine/runtime/session.ts";
import { calibrationText } from "../workers/calibration-text.ts";
import { type Contestant, serveRounds, spread, startContestant } from "./contestant.ts";
import { randomCheckpoint } from "./random-checkpoint.ts";

type Precision = "float32" | QuantizedPrecision;
const precisions: readonly Precision[] = ["float32", ...quantizedPrecisions];
const demo = {
  folder: new URL("../assets/models/demo-small", import.meta.url).pathname,
  text: new URL("../assets/text/heldout.jsonl", import.meta.url).pathname,
};
const promptTokens = 512;

/** `npm run bench -- quantized [rounds] [new tokens] [layers] [cpu|cuda|webgpu] [folder of a trained model] [JSON lines with "text"]` */
export async function benchQuantized(args: readonly string[]) {
  const [rounds = 3, tokens = 32, layers = 28] = args.slice(0, 3).map(Number);
  const [device = "cpu", folder = demo.folder, text = folder === demo.folder ? demo.text : undefined] = args.slice(3);
  const checkpoint = await randomCheckpoint({ layers, dtype: "bfloat16" });
  // One after the other: each writes its file of integers before it is ready.
  const contestants: Contestant[] = [];
  for (const precision of precisions) {
    const settings = [precision, checkpoint, String(tokens), device];
    const started = await startContestant(precision, process.execPath, [
      ...process.execArgv,
      import.meta.filename,
      ...settings,
    ]);
    contestants.push(started!);
  }
  const seconds = new Map<string, number[]>(precisions.map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const contestant of contestants) {
      const time = await contestant.round();
      // The first round of each reads the prompt and touches every page.
      if (round >= 0) seconds.get(contestant.name)!.push(time);
    }
  }
  const peak = new Map<string, number>();
  for (const contestant of contestants) peak.set(contestant.name, await contestant.end());
  const of = (name: Precision) => ({
    tokens_per_second: spread(seconds.get(name)!.map((time) => tokens / time)),
    peak_resident_bytes: peak.get(name)!,
  });
  const ratio = (name: Precision) =>
    spread(seconds.get(name)!.map((time, round) => seconds.get("float32")![round]! / time));
  return {
    name: "quantized",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: {
      shape: "qwen3-0.6b",
      layers,
      prompt_tokens: promptTokens,
      new_tokens: tokens,
      edits: 1,
      rounds,
      device,
    },
    ours: {
      int8: of("int8"),
      int4: of("int4"),
      cross_entropy: { folder: folder.split("/").at(-1), ...(await crossEntropies(folder, text)) },
    },
    peer: { float32: of("float32") },
    floor: null,
    ratios: { "quantized.int8": ratio("int8"), "quantized.int4": ratio("int4") },
  };
}

/** Mean next-token cross-entropy in nats at each precision, and its change. */
async function crossEntropies(folder: string, textFile: string | undefined) {
  const texts = textFile ? await readTexts(textFile) : calibrationText;
  const nats = new Map<Precision, number>();
  let tokens = 0;
  for (const precision of precisions) {
    const model = await open(folder, precision);
    const longest = Math.min(256, model.config.contextLength);
    const sequences = texts
      .map((text) => Int32Array.from(model.tokenizer.encode(text, { addSpecial: true })).subarray(0, longest))
      .filter((ids) => ids.length > 1);
    tokens = sequences.reduce((sum, ids) => sum + ids.length, 0);
    nats.set(precision, await crossEntropyNats(model, sequences));
    await model.close();
  }
  const before = nats.get("float32")!;
  const change = (name: Precision) => ({ nats: nats.get(name)!, change: nats.get(name)! - before });
  return { tokens, float32: { nats: before }, int8: change("int8"), int4: change("int4") };
}

async function readTexts(file: string): Promise<string[]> {
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
  return lines.slice(0, 200).map((line) => (JSON.parse(line) as { text: string }).text);
}

/** The integers lie with the other files for temporary use, never in the model's folder. */
async function open(
  folder: string,
  precision: Precision,
  keep?: string,
  device: Device = "cpu",
): Promise<LanguageModel> {
  if (precision === "float32") return openModel(folder, { device });
  const file = keep ?? join(tmpdir(), `qwen-scope-bench-${process.pid}.safetensors`);
  if (!(await stat(file).catch(() => null))) {
    const config = parseDecoderConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
    await writeQuantizedWeights(config, await openCheckpointTensors(folder), precision, file);
  }
  const model = await openModel(folder, { device, quantized: file });
  // An open file stays readable without its name.
  if (!keep) await rm(file);
  return model;
}

/** One stream, one edit in the middle of the model; the time from the moment when the first new token is fed back. */
async function play(precision: Precision, folder: string, tokens: number, device: Device): Promise<void> {
  const model = await open(folder, precision, `${folder}.${precision}.safetensors`, device);
  const { dModel, layers } = model.config;
  let start: number | null = null;
  const timed: LanguageModel = {
    ...model,
    forward(input) {
      if (input.tokens === 1) start ??= performance.now();
      return model.forward(input);
    },
  };
  const generator = createGenerator(timed);
  const random = createRandom(0);
  const promptIds = Int32Array.from({ length: promptTokens }, () => random.int(1000));
  const direction = Float32Array.from({ length: dModel }, () => random.normal() / Math.sqrt(dModel));
  const everywhere = { from: 0, to: Number.POSITIVE_INFINITY };
  const selection = { prompt: new Uint8Array(promptTokens).fill(1), generation: everywhere, excludeSpecial: false };
  const edit = {
    layer: layers >> 1,
    direction,
    c0: 1,
    c1: 0,
    c2: 0,
    selection,
  };
  await serveRounds(async () => {
    start = null;
    const request = { promptIds, maxTokens: tokens + 1, temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1 };
    const events = generator.add({ ...request, seed: 0, stop: [], logprobs: null, edits: [edit] });
    for await (const event of events)
      if (event.type === "end" && event.completionTokens <= tokens) throw new Error("ended early");
    return (performance.now() - start!) / 1000;
  });
}

const [role, folder, tokens, device] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename && role !== undefined)
  await play(role as Precision, folder!, Number(tokens), device as Device);
