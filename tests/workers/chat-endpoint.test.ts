import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { chatAddress } from "../../domain/chat-endpoint.ts";
import { createOutbound } from "../../platform/outbound.ts";
import { type Budget, type ChatEndpoint, createBudget, createChatEndpoint } from "../../workers/chat-endpoint.ts";
import { type ChatServer, startChatServer } from "./chat-server.ts";

let chat: ChatServer;
beforeAll(async () => {
  chat = await startChatServer();
});
afterAll(() => chat.close());
beforeEach(() => {
  chat.requests.length = 0;
  chat.authorizations.length = 0;
});

const none = { requests: 0, input: 0, output: 0 };
const question = [{ role: "user", content: "What is it?" }] as const;

interface Asked {
  readonly endpoint: ChatEndpoint;
  readonly budget: Budget;
  readonly waits: number[];
}

function ask(options: { limit?: number; url?: string; allow?: string[]; spent?: typeof none } = {}): Asked {
  const waits: number[] = [];
  const budget = createBudget({ tokens: options.limit ?? 100_000 }, undefined, options.spent ?? none);
  const endpoint = createChatEndpoint(
    { url: options.url ?? chat.url, model: "m", temperature: 0.5, answerTokens: 50, timeoutMs: 30_000 },
    {
      outbound: createOutbound(options.allow ?? [chat.place]),
      budget,
      key: "sk-of-a-test",
      sleep: async (ms) => waits.push(ms),
    },
  );
  return { endpoint, budget, waits };
}
const signal = new AbortController().signal;
const refusedWith = (asked: Asked) =>
  asked.endpoint.ask(question, signal).then(
    () => null,
    (error: unknown) => error,
  );

test("a question goes out in the shape of the chat interface, with the key, and its answer and usage come back", async () => {
  chat.answer = () => ({ content: "A thing.", usage: { prompt_tokens: 12, completion_tokens: 3 } });
  const { endpoint, budget } = ask();
  expect(await endpoint.ask(question, signal)).toBe("A thing.");
  expect(chat.requests).toEqual([{ model: "m", messages: question, temperature: 0.5, max_tokens: 50, stream: false }]);
  expect(chat.authorizations).toEqual(["Bearer sk-of-a-test"]);
  expect(budget.usage).toEqual({ requests: 1, input: 12, output: 3 });
});

test("a query of the address stays behind its path", () => {
  expect(chatAddress("https://host/v1/?api-version=1")).toBe("https://host/v1/chat/completions?api-version=1");
});

test("the address may be the base or the whole", async () => {
  chat.answer = () => ({ content: "yes" });
  for (const url of [chat.url, `${chat.url}/`, `${chat.url}/chat/completions`])
    expect(await ask({ url }).endpoint.ask(question, signal)).toBe("yes");
});

test("it waits as it is told to, else twice as long each time, and gives up after six tries", async () => {
  const later = new Date(Date.now() + 30_000).toUTCString();
  const told: Record<string, string>[] = [
    { "retry-after": "7" },
    {},
    { "retry-after": "9999" },
    { "retry-after": later },
    {},
  ];
  chat.answer = (_, count) => ({ status: 429, headers: told[count - 1] ?? {}, raw: "busy" });
  const asked = ask();
  expect(await refusedWith(asked)).toMatchObject({ code: "ENDPOINT_UNAVAILABLE", retryable: true });
  expect(asked.waits.map((ms) => Math.round(ms / 10_000) || ms)).toEqual([1, 2000, 6, 3, 2]);
  expect(chat.requests).toHaveLength(6);
  expect(asked.budget.usage).toEqual(none);
});

test.each([
  [{ status: 401, raw: "who are you" }, "ENDPOINT_REFUSED", "answered 401: who are you", 1],
  [{ status: 401, raw: "wrong key: sk-of-a-test." }, "ENDPOINT_REFUSED", "answered 401: wrong key: [secret].", 1],
  [{ status: 404, raw: "no such model" }, "ENDPOINT_REFUSED", "answered 404: no such model", 1],
  [{ status: 302, headers: { location: "http://127.0.0.1:1/" } }, "ENDPOINT_REFUSED", "answered 302", 1],
  [{ raw: "not json" }, "ENDPOINT_ANSWER_INVALID", "answered not json", 2],
  [{ raw: '{"choices": []}' }, "ENDPOINT_ANSWER_INVALID", "choices", 2],
  [{ raw: '{"choices": [{"message": {"content": null}}]}' }, "ENDPOINT_ANSWER_INVALID", "null", 2],
])("%j is %s", async (reply, code, detail, requests) => {
  chat.answer = () => reply;
  const error = await refusedWith(ask());
  expect(error).toMatchObject({ code, detail: expect.stringContaining(detail) });
  expect(chat.requests).toHaveLength(requests);
});

test("an address inside is refused without being asked, as everywhere", async () => {
  expect(await refusedWith(ask({ allow: [] }))).toMatchObject({ code: "OUTBOUND_REFUSED" });
  expect(chat.requests).toHaveLength(0);
});

test("a server without figures of usage is counted by the length of the texts", async () => {
  chat.answer = () => ({ raw: JSON.stringify({ choices: [{ message: { content: "x".repeat(30) } }] }) });
  const { endpoint, budget } = ask();
  await endpoint.ask([{ role: "user", content: "好".repeat(40) }], signal);
  expect(budget.usage).toEqual({ requests: 1, input: 48, output: 10 });
});

test("what could pass the limit is not sent, also when several are asked at once", async () => {
  chat.answer = () => ({ content: "x", usage: { prompt_tokens: 12, completion_tokens: 50 } });
  // One question reserves 12 + 50.
  const { endpoint, budget } = ask({ limit: 62 * 3 + 61 });
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => endpoint.ask(question, signal)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
  for (const outcome of outcomes)
    if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ name: "LimitReached", limit: "tokens" });
  expect(budget.usage).toEqual({ requests: 3, input: 36, output: 150 });
  expect(chat.requests).toHaveLength(3);
  await expect(
    ask({ limit: 100, spent: { requests: 1, input: 39, output: 0 } }).endpoint.ask(question, signal),
  ).rejects.toThrow("limit of tokens");
});

test("a server whose tokens are more than estimated is reserved more for from then on", async () => {
  chat.answer = () => ({ content: "x", usage: { prompt_tokens: 120, completion_tokens: 50 } });
  const { endpoint, budget } = ask({ limit: 400 });
  await endpoint.ask(question, signal);
  await endpoint.ask(question, signal);
  await expect(endpoint.ask(question, signal)).rejects.toThrow("limit of tokens");
  expect(budget.usage.input + budget.usage.output).toBe(340);
});

test("asking ends with the reason of its signal", async () => {
  const abort = new AbortController();
  chat.answer = () => new Promise(() => abort.abort(new Error("no longer wanted")));
  await expect(ask().endpoint.ask(question, abort.signal)).rejects.toThrow("no longer wanted");
});
