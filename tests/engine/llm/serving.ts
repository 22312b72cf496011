// What the tests of the generator share: a model whose forwards are counted, greedy settings, edits drawn from a seed.

import type { ForwardInput } from "../../../engine/llm/forward.ts";
import type { GenerationEvent, GenerationRequest, Generator } from "../../../engine/llm/generator.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import type { SteeringEdit } from "../../../engine/llm/steering.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { type FixtureName, fixtureFolder } from "./fixtures.ts";

export const greedy = {
  maxTokens: 12,
  temperature: 0,
  topP: 1,
  topK: 0,
  repetitionPenalty: 1,
  seed: 0,
  stop: [],
  logprobs: null,
  edits: [],
};

export interface CountedModel extends LanguageModel {
  /** Every forward so far, in order. */
  readonly forwards: { readonly sequences: number; readonly tokens: number }[];
  /** Called before each forward. */
  before: (input: ForwardInput) => void;
}

/** The fixture's own model; nothing ends a text of it but the limit unless `stops`. */
export async function countedModel(name: FixtureName): Promise<CountedModel> {
  const model = await openModel(fixtureFolder(name), { threads: 2 });
  const counted: CountedModel = {
    ...model,
    stopTokenIds: new Set(),
    forwards: [],
    before: () => {},
    forward(input) {
      counted.before(input);
      counted.forwards.push({ sequences: input.sequences, tokens: input.tokens });
      return model.forward(input);
    },
  };
  return counted;
}

export type Answer = Extract<GenerationEvent, { type: "end" }> & { readonly logprobs: number[] };

export async function answer(
  generator: Generator,
  request: Partial<GenerationRequest> & { promptIds: ArrayLike<number> },
): Promise<Answer> {
  const logprobs: number[] = [];
  for await (const event of generator.add({ ...greedy, logprobs: 0, ...request })) {
    if (event.type === "end") return { ...event, logprobs };
    logprobs.push(...event.tokens.map(({ logprob }) => logprob));
  }
  throw new Error("the generation had no end");
}

export function promptOf(seed: number, length: number): Int32Array {
  const random = createRandom(seed);
  return Int32Array.from({ length }, () => 3 + random.int(300));
}

/** An edit of the whole prompt and answer unless `selects` says otherwise of the prompt. */
export function editOf(
  { config }: LanguageModel,
  layer: number,
  seed: number,
  length: number,
  selects: (position: number) => boolean = () => true,
): SteeringEdit {
  const random = createRandom(seed);
  const vector = () => Float32Array.from({ length: config.dModel }, () => random.normal());
  return {
    layer,
    direction: vector(),
    encoder: { weight: vector(), bias: 0.1, threshold: 0 },
    c0: 0.5,
    c1: -0.5,
    c2: 0.01,
    selection: {
      prompt: Uint8Array.from({ length }, (_, position) => (selects(position) ? 1 : 0)),
      generation: { from: 0, to: 1000 },
      excludeSpecial: false,
    },
  };
}
