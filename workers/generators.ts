/** The running batches of a device process: one per open model, all of them in one memory for keys and values. */
import { createCacheMemory } from "../engine/llm/cache-memory.ts";
import { createGenerator, type Generator } from "../engine/llm/generator.ts";
import type { LanguageModel } from "../engine/llm/model.ts";
import type { WorkerModel } from "./open-models.ts";

export interface Generators {
  /** The model's own, asked for under this id; models of equal files share one. What it keeps of prompts goes when the model is closed. */
  of(modelId: string, model: WorkerModel): Generator;
  /** The model was deleted: nothing of its prompts is kept. */
  forget(modelId: string): void;
  /** Gives up all memory; the models stay open. Nothing may be running. */
  close(): void;
}

export interface GeneratorsParts {
  readonly maxBatch: number;
  readonly cacheBytes: number;
  /** Called after every run of a model, a chunk of a long prompt among them. */
  readonly onForward: () => void;
}

export function createGenerators({ maxBatch, cacheBytes, onForward }: GeneratorsParts): Generators {
  const memory = createCacheMemory(cacheBytes);
  const generators = new Map<WorkerModel, Generator>();
  const asked = new Map<string, Generator>();

  function open(model: WorkerModel): Generator {
    const { language } = model;
    const observed: LanguageModel = { ...language, forward: (input) => language.forward(input).finally(onForward) };
    const generator = createGenerator(observed, { maxBatch, memory });
    generators.set(model, generator);
    model.whenClosed(() => {
      // After a close of all of them there is nothing left to forget.
      if (!generators.delete(model)) return;
      for (const [id, one] of asked) if (one === generator) asked.delete(id);
      generator.close();
    });
    return generator;
  }

  return {
    of(modelId, model) {
      const generator = generators.get(model) ?? open(model);
      asked.set(modelId, generator);
      return generator;
    },
    forget(modelId) {
      asked.get(modelId)?.forgetPrefixes();
      asked.delete(modelId);
    },
    close() {
      for (const generator of generators.values()) generator.close();
      generators.clear();
      asked.clear();
    },
  };
}

/** The model for whole passes over texts: each of their forwards takes its turn, so that running texts do not wait for all of them. */
export function forwardsInTurn(language: LanguageModel, generator: Generator): LanguageModel {
  return { ...language, forward: (input) => generator.inTurn(() => language.forward(input)) };
}
