/**
 * Requests inside the device process: any number at once, each with a lease on its model and saes, all sequences of
 * one model in one running batch.
 */
import { fieldProblem } from "../domain/problem.ts";
import type { EncodeInput, RequestEvent, RequestInput } from "../domain/request.ts";
import { maximumEncodeTokens } from "../domain/sae.ts";
import { harvest } from "../engine/llm/harvest.ts";
import type { LanguageModel } from "../engine/llm/model.ts";
import { tokenTexts } from "../engine/llm/token-texts.ts";
import type { ArtifactStore } from "../platform/artifacts/store.ts";
import { createBlobs } from "./blobs.ts";
import type { Calls } from "./calls.ts";
import { createCatalog } from "./catalog.ts";
import { describeFailure } from "./failure.ts";
import { createGenerators, forwardsInTurn } from "./generators.ts";
import type { HandlerSettings } from "./jobs/handler.ts";
import { useModel, useSae, type WorkerModel, type WorkerSae } from "./open-models.ts";
import type { FromDevice, RequestAssignment } from "./protocol.ts";
import type { SaeRow } from "./records.ts";
import type { Residency } from "./residency.ts";
import { runCompletion } from "./run-completion.ts";

export interface Interactive {
  run(request: RequestAssignment): void;
  /** Its slots are free within a step. */
  stop(requestId: string): void;
  /** The model was deleted: nothing of its prompts is kept. */
  forget(modelId: string): void;
}

export interface InteractiveParts {
  readonly settings: HandlerSettings;
  readonly stepDeadlineMs: number;
  readonly residency: Residency;
  readonly store: ArtifactStore;
  readonly calls: Calls;
  readonly send: (message: FromDevice) => void;
}

export function createInteractive(parts: InteractiveParts): Interactive {
  const { send } = parts;
  const running = new Map<string, AbortController>();
  const step = () => send({ type: "step", deadlineMs: running.size === 0 ? null : parts.stepDeadlineMs });
  const { maxBatch, cacheBytes } = parts.settings;
  const generators = createGenerators({ maxBatch, cacheBytes, onForward: step });

  async function serve({ requestId, workspaceId, input }: RequestAssignment, signal: AbortSignal): Promise<void> {
    const request = input as RequestInput;
    const catalog = createCatalog(parts.calls, workspaceId);
    const opener = {
      residency: parts.residency,
      blobs: createBlobs(parts.store, workspaceId),
      settings: parts.settings,
    };
    const emit = (event: RequestEvent) => {
      step();
      send({ type: "request_events", requestId, events: [event] });
    };
    if (request.kind === "completion") {
      return await runCompletion({ input: request, workspaceId, catalog, opener, generators, signal, emit });
    }
    const model = await useModel(opener, await catalog.model(request.model_id));
    try {
      const row = await catalog.sae(request.sae_id);
      const sae = await useSae(opener, row);
      try {
        const generator = generators.of(request.model_id, model.value);
        const inTurn = forwardsInTurn(model.value.language, generator);
        await encode(request, model.value, inTurn, { row, sae: sae.value }, emit, signal);
      } finally {
        sae.release();
      }
    } finally {
      model.release();
    }
  }

  return {
    run(request) {
      const abort = new AbortController();
      running.set(request.requestId, abort);
      step();
      serve(request, abort.signal)
        .then(
          () => null,
          // Nobody waits for a stopped request; how it ended does not matter.
          (error) => (abort.signal.aborted ? null : describeFailure(error)),
        )
        .then((failure) => {
          running.delete(request.requestId);
          step();
          send({ type: "request_ended", requestId: request.requestId, failure });
        });
    },
    stop(requestId) {
      running.get(requestId)?.abort();
    },
    forget: (modelId) => generators.forget(modelId),
  };
}

async function encode(
  { texts }: EncodeInput,
  model: WorkerModel,
  inTurn: LanguageModel,
  { row, sae }: { row: SaeRow; sae: WorkerSae },
  emit: (event: RequestEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { config, tokenizer } = model.language;
  const sequences = texts.map((text, index) => {
    const ids = model.encode(text);
    const pointer = `/texts/${index}`;
    if (ids.length === 0) throw fieldProblem("VALIDATION_FAILED", pointer, "the text has no token");
    if (ids.length <= config.contextLength) return ids;
    const detail = `the text has ${ids.length} tokens, the model's context is ${config.contextLength}`;
    throw fieldProblem("CONTEXT_LENGTH_EXCEEDED", pointer, detail);
  });
  const total = sequences.reduce((sum, ids) => sum + ids.length, 0);
  if (total > maximumEncodeTokens) {
    const detail = `the texts have ${total} tokens together, one request may have ${maximumEncodeTokens}`;
    throw fieldProblem("VALIDATION_FAILED", "/texts", detail);
  }
  emit({ type: "started", data: { prompt_tokens: sequences.map((ids) => ids.length), runtime: model.runtime } });
  for (const [index, ids] of sequences.entries()) {
    signal.throwIfAborted();
    const tokens = tokenTexts(ids, tokenizer).map((text, position) => ({ id: ids[position]!, text }));
    for await (const batch of harvest(inTurn, [ids], { layers: [row.layer] })) {
      const active = await sae.opened.encode(batch.activations[0]!);
      const features = tokens.map((_, position) => {
        const [from, to] = [active.offsets[position]!, active.offsets[position + 1]!];
        return Array.from({ length: to - from }, (_, i) => ({
          index: active.features[from + i]!,
          value: active.values[from + i]!,
        }));
      });
      emit({ type: "encoded", data: { text: index, result: { tokens, features } } });
    }
  }
}
