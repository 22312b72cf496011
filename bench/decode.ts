/**
 * Decoding after a prompt of 512 tokens at Qwen3-0.6B's shapes, every request steered in its own way: one stream and eight together
 * against transformers with forward hooks, whose requests run one after another. The floor is reading what a step must read.
 */
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { cacheBytesPerToken, columnsFor } from "../engine/llm/cache.ts";
import { parseDecoderConfig } from "../engine/llm/config.ts";
import type { ForwardInput } from "../engine/llm/forward.ts";
import { createGenerator, type GenerationRequest, type Generator } from "../engine/llm/generator.ts";
import { type LanguageModel, openModel } from "../engine/llm/model.ts";
import { parameterCount } from "../engine/llm/parameters.ts";
import { layOutEdits, type SteeringEdit } from "../engine/llm/steering.ts";
import { createRandom } from "../engine/runtime/random.ts";
import { openReading } from "./bandwidth.ts";
import { type Contestant, serveRounds, spread, startContestant } from "./contestant.ts";
import { randomCheckpoint } from "./random-checkpoint.ts";

const threads = 2;
const streams = 8;
const promptTokens = 512;
/** Pairs of steps, one plain and one with an edit and a tap, that make one round of the overhead. */
const pairs = 24;

const tasks = ["one", "eight", "overhead_one", "overhead_eight", "bytes_per_second"] as const;
type Task = (typeof tasks)[number];

/** `npm run bench -- decode [rounds] [new tokens] [layers] [new tokens of the peer]` */
export async function benchDecode(args: readonly string[]) {
  const [rounds = 3, tokens = 128, layers = 28, peerTokens = 16] = args.map(Number);
  // Eight prompts are read one chunk a step: with fewer tokens the first has ended before the last begins.
  if (tokens < 3 * streams) throw new RangeError(`new tokens must be at least ${3 * streams}, got ${tokens}`);
  const folder = await randomCheckpoint({ layers, dtype: "float32" });
  const own = [...process.execArgv, import.meta.filename, folder, String(tokens)];
  const ours = (await startContestant("ours", process.execPath, own))!;
  const script = new URL("./peers/decode.py", import.meta.url).pathname;
  const settings = [folder, promptTokens, peerTokens, threads].map(String);
  const peer = await startContestant("transformers", "python3", [script, ...settings]);

  const measured = new Map<Task, number[]>(tasks.map((task) => [task, []]));
  const peerSeconds: number[] = [];
  for (let round = -1; round < rounds; round++) {
    for (const task of tasks) {
      const result = await ours.round(task);
      // The first round of each reads the prompts and touches every page.
      if (round >= 0) measured.get(task)!.push(result);
      // Every round has another hook, and stands between ours of one stream and of eight.
      const seconds = task === "one" ? await peer?.round(String(round + 1)) : undefined;
      if (round >= 0 && seconds !== undefined) peerSeconds.push(seconds);
    }
  }
  const bytes = await bytesOfStep(folder, tokens);
  return report({ rounds, tokens, layers, peerTokens }, measured, peerSeconds, bytes, await peakBytes(ours, peer));
}

async function peakBytes(ours: Contestant, peer: Contestant | null) {
  return { ours: await ours.end(), peer: await peer?.end() };
}

function report(
  settings: { rounds: number; tokens: number; layers: number; peerTokens: number },
  measured: ReadonlyMap<Task, number[]>,
  peerSeconds: readonly number[],
  bytes: (count: number) => number,
  peak: { ours: number; peer: number | undefined },
) {
  const of = (task: Task) => measured.get(task)!;
  const perSecond = (seconds: readonly number[]) => spread(seconds.map((time) => 1 / time));
  const ratio = (task: Task) => spread(of(task).map((time, round) => peerSeconds[round]! / time));
  const bandwidth = spread(of("bytes_per_second"));
  return {
    name: "decode",
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version },
    settings: {
      shape: "qwen3-0.6b",
      dtype: "float32",
      threads,
      prompt_tokens: promptTokens,
      new_tokens: settings.tokens,
      peer_new_tokens: settings.peerTokens,
      layers: settings.layers,
      rounds: settings.rounds,
    },
    ours: {
      one_stream: { tokens_per_second: perSecond(of("one")) },
      aggregate_8: { tokens_per_second: perSecond(of("eight")) },
      overhead: { one_stream: spread(of("overhead_one")), streams_8: spread(of("overhead_eight")) },
      peak_resident_bytes: peak.ours,
    },
    peer:
      peerSeconds.length === 0
        ? null
        : { name: "transformers", tokens_per_second: perSecond(peerSeconds), peak_resident_bytes: peak.peer },
    floor: {
      bytes_per_second: bandwidth,
      one_stream: { bytes_per_step: bytes(1), tokens_per_second: bandwidth.median / bytes(1) },
      aggregate_8: {
        bytes_per_step: bytes(streams),
        tokens_per_second: (streams * bandwidth.median) / bytes(streams),
      },
    },
    ratios: {
      ...(peerSeconds.length === 0 ? {} : { "decode.one_stream": ratio("one"), "decode.aggregate_8": ratio("eight") }),
      "decode.steering_overhead": worse(spread(of("overhead_one")), spread(of("overhead_eight"))),
    },
  };
}

function worse<Case extends { readonly median: number }>(a: Case, b: Case): Case {
  return a.median > b.median ? a : b;
}

/** Every weight once, and the keys and values of every stream in the middle of its answer. */
async function bytesOfStep(folder: string, tokens: number): Promise<(count: number) => number> {
  const config = parseDecoderConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
  const weights = 4 * parameterCount(config);
  return (count) => weights + count * (promptTokens + tokens / 2) * cacheBytesPerToken(config);
}

function editOf(model: LanguageModel, stream: number, tokens: number): SteeringEdit {
  const random = createRandom(stream);
  const { dModel, layers } = model.config;
  return {
    layer: Math.floor(layers / 2),
    direction: Float32Array.from({ length: dModel }, () => random.normal()),
    c0: 0.5,
    c1: 0,
    c2: 0,
    selection: {
      prompt: new Uint8Array(promptTokens).fill(1),
      generation: { from: 0, to: tokens },
      excludeSpecial: false,
    },
  };
}

function requestOf(model: LanguageModel, stream: number, tokens: number): GenerationRequest {
  const random = createRandom(100 + stream);
  return {
    promptIds: Int32Array.from({ length: promptTokens }, () => random.int(model.config.vocabulary)),
    maxTokens: tokens,
    temperature: 0.7,
    topP: 0.95,
    topK: 20,
    repetitionPenalty: 1,
    seed: stream,
    stop: [],
    logprobs: null,
    edits: [editOf(model, stream, tokens)],
  };
}

/** Notes when each step ended that fed one token of every one of `sequences` back. */
function observed(model: LanguageModel): { model: LanguageModel; steps: { sequences: number; endedAt: number }[] } {
  const steps: { sequences: number; endedAt: number }[] = [];
  const forward = async (input: ForwardInput) => {
    const result = await model.forward(input);
    if (input.tokens === 1) steps.push({ sequences: input.sequences, endedAt: performance.now() });
    return result;
  };
  return { model: { ...model, forward }, steps };
}

/** Seconds a token while all of the streams are running; what happens between two steps included. */
async function secondsPerToken(
  generator: Generator,
  steps: { sequences: number; endedAt: number }[],
  requests: readonly GenerationRequest[],
): Promise<number> {
  steps.length = 0;
  const ends = requests.map(async (request) => {
    for await (const event of generator.add(request)) if (event.type === "end") return;
  });
  await Promise.all(ends);
  const full = steps.filter(({ sequences }) => sequences === requests.length);
  const seconds = (full.at(-1)!.endedAt - full[0]!.endedAt) / 1000;
  return seconds / ((full.length - 1) * requests.length);
}

/** How much longer steps with an edit for every stream and a tap take than plain ones, taken in turn. */
async function overhead(model: LanguageModel, count: number): Promise<number> {
  const { kvHeads, headDim, layers } = model.config;
  const columns = columnsFor(promptTokens);
  const filled = () =>
    Array.from({ length: layers }, () => new Float32Array(count * kvHeads * columns * headDim).fill(0.01));
  const plain: ForwardInput = {
    sequences: count,
    tokens: 1,
    ids: new Int32Array(count),
    pastLengths: new Int32Array(count).fill(promptTokens),
    past: { columns, keys: filled(), values: filled(), states: [], convolutions: [] },
    logitRows: [...Array(count).keys()],
    cache: true,
  };
  const edits = Array.from({ length: count }, (_, stream) => [editOf(model, stream, 1)]);
  const layout = layOutEdits(model.config, edits)!;
  const times: [plain: number[], steered: number[]] = [[], []];
  for (let pair = 0; pair < pairs; pair++) {
    for (const [kind, own] of times.entries()) {
      const start = performance.now();
      await model.forward(
        kind === 0 ? plain : { ...plain, edits: layout.pack(1, () => true), taps: [Math.floor(layers / 2)] },
      );
      own.push(performance.now() - start);
    }
  }
  const [without, withEdits] = times.map((own) => spread(own).median) as [number, number];
  return withEdits / without - 1;
}

async function play(folder: string, tokens: number): Promise<void> {
  const { model, steps } = observed(await openModel(folder, { threads }));
  const generator = createGenerator(model, { maxBatch: streams, cacheBytes: 6 * 2 ** 30 });
  const reading = await openReading(threads);
  const requests = Array.from({ length: streams }, (_, stream) => requestOf(model, stream, tokens));
  const run: Readonly<Record<Task, () => Promise<number>>> = {
    one: () => secondsPerToken(generator, steps, requests.slice(0, 1)),
    eight: () => secondsPerToken(generator, steps, requests),
    overhead_one: () => overhead(model, 1),
    overhead_eight: () => overhead(model, streams),
    bytes_per_second: reading,
  };
  return serveRounds((task) => run[task as Task]());
}

const [folder, tokens] = process.argv.slice(2);
if (process.argv[1] === import.meta.filename) await play(folder!, Number(tokens));
