import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import { interactiveQueue } from "../../platform/queue.ts";
import { REQUEST_END, type RequestClaim, type RequestEventRow, type RequestRow } from "../../platform/requests.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

function newRequest(): Promise<RequestRow> {
  return platform.requests.create({
    id: newId("request"),
    workspaceId: platform.workspaceId,
    kind: "completion",
    modelId: newId("model"),
    input: { prompt: "Once upon a time" },
  });
}

async function admitted(request: RequestRow): Promise<RequestClaim> {
  const claim = await platform.requests.admit(await takeDelivery(platform, request.queue), "worker_a");
  expect(claim).not.toBeNull();
  return claim as RequestClaim;
}

const row = (id: string) => platform.db.request.findUniqueOrThrow({ where: { id } });
const rows = (id: string) => platform.db.requestEvent.findMany({ where: { request_id: id }, orderBy: { seq: "asc" } });
const text = (word: string) => ({ type: "delta", data: { text: word } });

async function collect(events: AsyncIterable<RequestEventRow>): Promise<RequestEventRow[]> {
  const seen: RequestEventRow[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

/** The lease as it stands when nobody has renewed it for a while. */
const forget = (id: string) =>
  platform.db.$executeRaw`UPDATE requests SET wanted_until = now() - interval '1 minute' WHERE id = ${id}`;

test("text flows from worker to reader in order and ends with the end", async () => {
  const request = await newRequest();
  const reading = collect(platform.requests.subscribe(request.id, { signal: AbortSignal.timeout(50_000) }));
  const claim = await admitted(request);
  expect(await platform.requests.append(claim, [text("a"), text("b")])).toEqual({ wanted: true });
  for (let i = 0; i < 20; i++) await platform.requests.append(claim, [text(String(i))]);
  expect(await platform.requests.finish(claim, { state: "succeeded", events: [text("z")] })).toBe(true);
  const seen = await reading;
  expect(seen.map((event) => event.seq)).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
  expect(seen.at(-1)).toMatchObject({ type: REQUEST_END, data: { state: "succeeded" } });
  expect(seen.at(-2)?.data).toEqual({ text: "z" });
});

test("a token that stands for U+0000 arrives as it was sampled", async () => {
  const request = await newRequest();
  const claim = await admitted(request);
  const words = ["a\0b", "c", "\\u0000"];
  expect(await platform.requests.append(claim, words.map(text))).toEqual({ wanted: true });
  await platform.requests.finish(claim, { state: "succeeded" });
  const seen = await collect(platform.requests.subscribe(request.id, { signal: AbortSignal.timeout(50_000) }));
  expect(seen.slice(0, -1).map((event) => event.data)).toEqual(words.map((word) => text(word).data));
});

test("a reader in another process that begins late, or again from a cursor, misses nothing", async () => {
  const other = await platform.another();
  const request = await newRequest();
  const claim = await admitted(request);
  await platform.requests.append(claim, [text("a"), text("b"), text("c")]);
  const late = collect(other.requests.subscribe(request.id, { signal: AbortSignal.timeout(50_000) }));
  const again = collect(other.requests.subscribe(request.id, { after: 2, signal: AbortSignal.timeout(50_000) }));
  await platform.requests.finish(claim, { state: "succeeded" });
  expect((await late).map((event) => event.seq)).toEqual([1, 2, 3, 4]);
  expect((await again).map((event) => event.seq)).toEqual([3, 4]);
});

describe("the lease", () => {
  test("a reader keeps the request wanted, and its leaving is seen by the worker's next batch", async () => {
    const request = await newRequest();
    await forget(request.id);
    const leaving = new AbortController();
    const reading = collect(platform.requests.subscribe(request.id, { signal: leaving.signal }));
    await expect.poll(async () => (await row(request.id)).wanted_until.getTime() > Date.now()).toBe(true);
    const claim = await admitted(request);
    expect(await platform.requests.stillWanted([claim])).toEqual(new Set([request.id]));
    leaving.abort();
    await reading;
    expect(await platform.requests.append(claim, [text("nobody reads this")])).toEqual({ wanted: false });
    expect(await platform.requests.stillWanted([claim])).toEqual(new Set());
  });

  test("with two readers, one leaving does not end it", async () => {
    const request = await newRequest();
    const leaving = new AbortController();
    const one = collect(platform.requests.subscribe(request.id, { signal: leaving.signal }));
    const other = collect(platform.requests.subscribe(request.id, { signal: AbortSignal.timeout(50_000) }));
    const claim = await admitted(request);
    leaving.abort();
    await one;
    expect(await platform.requests.append(claim, [text("a")])).toEqual({ wanted: true });
    await platform.requests.finish(claim, { state: "succeeded" });
    expect((await other).at(-1)?.type).toBe(REQUEST_END);
  });

  test("a request that nobody wants any more is not admitted", async () => {
    const request = await newRequest();
    await platform.requests.release(request.id);
    expect(await platform.requests.admit(await takeDelivery(platform, request.queue), "worker_a")).toBeNull();
    expect(await row(request.id)).toMatchObject({ state: "canceled", epoch: 0 });
    expect((await rows(request.id)).map((event) => event.type)).toEqual([REQUEST_END]);
  });
});

describe("a lost worker", () => {
  /** The queue gives the delivery out again, as after a missed heartbeat. */
  async function redeliver(claim: RequestClaim): Promise<RequestClaim | null> {
    await platform.db
      .$executeRaw`UPDATE pgboss.job SET heartbeat_on = now() - interval '1 minute' WHERE id::text = ${claim.delivery.id}`;
    await platform.queue.supervise(claim.delivery.queue);
    await platform.db.$executeRaw`UPDATE pgboss.job SET start_after = now() WHERE id::text = ${claim.delivery.id}`;
    return platform.requests.admit(await takeDelivery(platform, claim.delivery.queue), "worker_b");
  }

  test("before its first event: another takes over, and the first is refused", async () => {
    const claim = await admitted(await newRequest());
    const second = await redeliver(claim);
    expect(second?.epoch).toBe(claim.epoch + 1);
    expect(await platform.requests.append(claim, [text("from the dead")])).toEqual({ wanted: false });
    expect(await platform.requests.finish(claim, { state: "succeeded" })).toBe(false);
    expect(await platform.requests.append(second as RequestClaim, [text("a")])).toEqual({ wanted: true });
    expect((await rows(claim.requestId)).map((event) => event.data)).toEqual([{ text: "a" }]);
  });

  test("after its first event: an error event, never a replay", async () => {
    const claim = await admitted(await newRequest());
    await platform.requests.append(claim, [text("a")]);
    expect(await redeliver(claim)).toBeNull();
    const events = await rows(claim.requestId);
    expect(events.at(-1)).toMatchObject({
      type: REQUEST_END,
      data: { state: "failed", error: { code: "WORKER_LOST" } },
    });
    expect(await platform.requests.append(claim, [text("b")])).toEqual({ wanted: false });
    expect(await rows(claim.requestId)).toHaveLength(2);
  });

  test("and no other worker: the sweep ends the request", async () => {
    const claim = await admitted(await newRequest());
    await platform.db.$executeRaw`
      UPDATE requests SET admitted_at = now() - interval '1 minute', wanted_until = now() + interval '1 hour' WHERE id = ${claim.requestId}`;
    await platform.requests.sweep();
    expect(await row(claim.requestId)).toMatchObject({ state: "failed", error: { code: "WORKER_LOST" } });
  });
});

test("a worker that drains gives back what it has not begun, and another takes it", async () => {
  const claim = await admitted(await newRequest());
  await platform.requests.giveBack(claim);
  expect((await row(claim.requestId)).state).toBe("queued");
  expect((await admitted(await row(claim.requestId))).epoch).toBe(claim.epoch + 1);
});

test("of two ends only the first counts", async () => {
  const claim = await admitted(await newRequest());
  const results = await Promise.all([
    platform.requests.finish(claim, { state: "succeeded" }),
    platform.requests.finish(claim, { state: "failed", error: { code: "PROMPT_TOO_LONG" } }),
  ]);
  expect(results.filter(Boolean)).toHaveLength(1);
  expect(await rows(claim.requestId)).toHaveLength(1);
});

test("texts are deleted when the replay window is over, and not before", async () => {
  const fresh = await admitted(await newRequest());
  await platform.requests.finish(fresh, { state: "succeeded", events: [text("keep")] });
  const old = await admitted(await newRequest());
  await platform.requests.finish(old, { state: "succeeded", events: [text("secret")] });
  await platform.db
    .$executeRaw`UPDATE requests SET finished_at = now() - interval '61 minutes' WHERE id = ${old.requestId}`;
  await platform.requests.sweep();
  expect(await rows(old.requestId)).toEqual([]);
  expect((await row(old.requestId)).input).toBeNull();
  expect(await rows(fresh.requestId)).toHaveLength(2);
  expect((await row(fresh.requestId)).input).not.toBeNull();
});

test("a model has a worker as long as one that serves it is alive and not draining", async () => {
  const modelId = newId("model");
  const worker = {
    id: newId("worker"),
    class: "interactive",
    device: "cpu",
    hostname: "here",
    pid: 1,
    version: "0",
    capability: {},
    queues: [interactiveQueue(modelId)],
  } as const;
  expect(await platform.requests.hasWorker(modelId)).toBe(false);
  await platform.workers.register(worker);
  expect(await platform.requests.hasWorker(modelId)).toBe(true);
  expect((await platform.workers.live()).map(({ id }) => id)).toContain(worker.id);
  await platform.workers.beat(worker.id, { draining: true });
  expect(await platform.requests.hasWorker(modelId)).toBe(false);
  await platform.workers.beat(worker.id, { draining: false });
  await platform.db.$executeRaw`UPDATE workers SET heartbeat_at = now() - interval '1 minute' WHERE id = ${worker.id}`;
  expect(await platform.requests.hasWorker(modelId)).toBe(false);
});
