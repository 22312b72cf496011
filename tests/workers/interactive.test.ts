import { afterEach, beforeEach, expect, test } from "vitest";
import type { CompletionInput, RequestEvent } from "../../domain/request.ts";
import type { ArtifactStore } from "../../platform/artifacts/store.ts";
import type { Calls } from "../../workers/calls.ts";
import { createInteractive, type Interactive } from "../../workers/interactive.ts";
import type { Failure, FromDevice } from "../../workers/protocol.ts";
import type { ModelRow } from "../../workers/records.ts";
import { createResidency, type Residency } from "../../workers/residency.ts";
import { rowOf } from "./model-row.ts";

/** The first two have the same files. */
const rows: Record<string, ModelRow> = {
  one: rowOf("one", "qwen3-tied-f32"),
  same: rowOf("same", "qwen3-tied-f32"),
  other: rowOf("other", "llama-f16"),
};

let residency: Residency;
let interactive: Interactive;
let ended: Map<string, (end: { failure: Failure | null; events: RequestEvent[] }) => void>;
let events: Map<string, RequestEvent[]>;
beforeEach(() => {
  // Room for one model at a time.
  residency = createResidency(1_050_000);
  ended = new Map();
  events = new Map();
  const send = (message: FromDevice) => {
    if (message.type === "request_events") events.get(message.requestId)!.push(...(message.events as RequestEvent[]));
    if (message.type !== "request_ended") return;
    ended.get(message.requestId)!({ failure: message.failure, events: events.get(message.requestId)! });
  };
  const memory = { memoryBytes: 1e9, maxBatch: 4, cacheBytes: 2 ** 24 };
  const settings = { device: "cpu", threads: 1, ...memory, modelRoots: [], cacheFolder: "none" } as const;
  interactive = createInteractive({
    settings,
    stepDeadlineMs: 60_000,
    residency,
    store: null as unknown as ArtifactStore, // directories need none
    calls: { call: async (_method: string, { id }: { id: string }) => rows[id] } as unknown as Calls,
    send,
  });
});
afterEach(() => residency.close());

let requests = 0;
async function cachedTokens(modelId: string, workspaceId: string): Promise<number | undefined> {
  const requestId = `request ${++requests}`;
  const input: CompletionInput = {
    kind: "completion",
    model_id: modelId,
    prompts: [Array.from({ length: 40 }, (_, i) => 5 + i)],
    messages: null,
    chat_template_kwargs: {},
    sequences: [{ choice: 0, prompt: 0, role: null, seed: 1 }],
    max_tokens: 2,
    temperature: 0,
    top_p: 1,
    top_k: 0,
    repetition_penalty: 1,
    stop: [],
    logprobs: null,
    steering: null,
  };
  events.set(requestId, []);
  const { failure, events: all } = await new Promise<{ failure: Failure | null; events: RequestEvent[] }>(
    (resolved) => {
      ended.set(requestId, resolved);
      interactive.run({ requestId, workspaceId, input });
    },
  );
  expect(failure).toBeNull();
  const last = all.at(-1);
  return last?.type === "choice_ended" ? last.data.cached_tokens : undefined;
}

test("prompts are known within their workspace, whichever name the model has there", async () => {
  expect(await cachedTokens("one", "a")).toBe(0);
  expect(await cachedTokens("same", "a")).toBe(40);
  expect(await cachedTokens("same", "b")).toBe(0);
  expect(await cachedTokens("one", "b")).toBe(40);
});

test("a model that is closed to make room, or was deleted, leaves no prompt behind", async () => {
  await cachedTokens("one", "a");
  expect(await cachedTokens("one", "a")).toBe(40);
  expect(await cachedTokens("other", "a")).toBe(0);
  expect(residency.keys()).toEqual(["model llama-f16"]);
  expect(await cachedTokens("one", "a")).toBe(0);
  expect(await cachedTokens("one", "a")).toBe(40);
  interactive.forget("one");
  expect(await cachedTokens("one", "a")).toBe(0);
});
