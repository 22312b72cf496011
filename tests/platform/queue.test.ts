import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import type { Delivery } from "../../platform/queue.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

const newQueue = () => `batch.test-${newId("job")}`;
const send = (queue: string, subject: string, priority = 0) =>
  platform.db.$transaction((tx) => platform.queue.send(tx, queue, subject, { priority }));
const skipBackoff = (queue: string) =>
  platform.db.$executeRaw`UPDATE pgboss.job SET start_after = now() WHERE name = ${queue} AND state = 'retry'`;

test("queues are made for work of hours: a day's expiry, a heartbeat of ten seconds, no giving up", async () => {
  const queue = newQueue();
  await platform.queue.ensure(queue);
  const [row] = await platform.db.$queryRaw<object[]>`
    SELECT expire_seconds, heartbeat_seconds, retry_limit, policy FROM pgboss.queue WHERE name = ${queue}`;
  expect(row).toEqual({ expire_seconds: 86_400, heartbeat_seconds: 10, retry_limit: 1_000_000, policy: "standard" });
});

test("higher priority first, then the order of sending", async () => {
  const queue = newQueue();
  for (const [subject, priority] of [
    ["a", 0],
    ["b", 5],
    ["c", 0],
    ["d", 5],
  ] as const)
    await send(queue, subject, priority);
  const order = [];
  for (let i = 0; i < 4; i++) order.push((await takeDelivery(platform, queue)).subject);
  expect(order).toEqual(["b", "d", "a", "c"]);
});

test("what is sent in a transaction that is rolled back is never delivered", async () => {
  const queue = newQueue();
  await platform.queue.ensure(queue);
  const failing = platform.db.$transaction(async (tx) => {
    await platform.queue.send(tx, queue, "ghost");
    throw new Error("rolled back");
  });
  await expect(failing).rejects.toThrow("rolled back");
  expect(await platform.queue.take(queue)).toBeNull();
});

test("a consumer never runs more handlers than it may, and takes from all its queues", async () => {
  const queues = [newQueue(), newQueue(), newQueue()];
  for (let i = 0; i < 5; i++) for (const queue of queues) await send(queue, `${queue} ${i}`);
  let running = 0;
  let most = 0;
  const seen: string[] = [];
  const all = Promise.withResolvers<void>();
  const together = Promise.withResolvers<void>();
  const consumer = await platform.queue.consume({ queues, concurrency: 2 }, async (delivery) => {
    most = Math.max(most, ++running);
    // The first handler stays until a second one runs beside it.
    if (running === 2) together.resolve();
    await together.promise;
    await platform.queue.touch([delivery]);
    running--;
    seen.push(delivery.subject);
    if (seen.length === 15) all.resolve();
  });
  await all.promise;
  await consumer.stop();
  expect(most).toBe(2);
  expect(new Set(seen).size).toBe(15);
  // In turn: after the first six, each queue has been served twice.
  for (const queue of queues)
    expect(seen.slice(0, 9).filter((subject) => subject.startsWith(queue)).length).toBeGreaterThanOrEqual(2);
});

test("a handler that throws gets its delivery again", async () => {
  const queue = newQueue();
  await send(queue, "x");
  const attempts: number[] = [];
  const failed = Promise.withResolvers<void>();
  const succeeded = Promise.withResolvers<void>();
  const consumer = await platform.queue.consume({ queues: [queue], concurrency: 1 }, async (delivery) => {
    attempts.push(delivery.attempt);
    if (attempts.length === 1) {
      failed.resolve();
      throw new Error("the database was away");
    }
    succeeded.resolve();
  });
  await failed.promise;
  await expect.poll(() => skipBackoff(queue)).toBe(1);
  await succeeded.promise;
  await consumer.stop();
  expect(attempts).toEqual([0, 1]);
  expect(await platform.queue.take(queue)).toBeNull();
});

test("a claim that lapsed neither renews nor ends the delivery that another holds", async () => {
  const queue = newQueue();
  await send(queue, "x");
  const first = await takeDelivery(platform, queue);
  await platform.db.$executeRaw`UPDATE pgboss.job SET heartbeat_on = now() - interval '1 minute' WHERE name = ${queue}`;
  await platform.queue.supervise(queue);
  await skipBackoff(queue);
  const second: Delivery = await takeDelivery(platform, queue);
  expect(second).toMatchObject({ id: first.id, attempt: first.attempt + 1 });
  expect((await platform.queue.touch([first])).size).toBe(0);
  await platform.queue.complete(first);
  expect((await platform.queue.touch([second])).has(second.id)).toBe(true);
  await platform.queue.complete(second);
  expect((await platform.queue.touch([second])).size).toBe(0);
});

test("stopping a consumer waits for the handlers that run and takes nothing more", async () => {
  const queue = newQueue();
  await send(queue, "first");
  const begun = Promise.withResolvers<void>();
  const mayEnd = Promise.withResolvers<void>();
  let ended = false;
  const consumer = await platform.queue.consume({ queues: [queue], concurrency: 1 }, async () => {
    begun.resolve();
    await mayEnd.promise;
    ended = true;
  });
  await begun.promise;
  await send(queue, "second");
  const stopping = consumer.stop();
  mayEnd.resolve();
  await stopping;
  expect(ended).toBe(true);
  expect((await takeDelivery(platform, queue)).subject).toBe("second");
});

test("a consumer takes from a queue that is added later", async () => {
  const queue = newQueue();
  const taken = Promise.withResolvers<string>();
  const consumer = await platform.queue.consume({ queues: [], concurrency: 1 }, async ({ subject }) =>
    taken.resolve(subject),
  );
  await send(queue, "late");
  await consumer.add(queue);
  expect(await taken.promise).toBe("late");
  await consumer.stop();
});
