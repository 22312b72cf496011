import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

const answer = { status: 201, headers: { location: "/v1/jobs/1" }, body: '{"id":"1"}' };

test("the same key and body get the stored answer; another body is a conflict; another scope is another key", async () => {
  const { idempotency } = platform;
  expect(await idempotency.begin("key_a", "k", "hash")).toEqual({ outcome: "new" });
  expect(await idempotency.begin("key_a", "k", "hash")).toEqual({ outcome: "running" });
  expect(await idempotency.begin("key_a", "k", "other")).toEqual({ outcome: "conflict" });
  await idempotency.complete("key_a", "k", answer);
  expect(await idempotency.begin("key_a", "k", "hash")).toEqual({ outcome: "replay", ...answer });
  expect(await idempotency.begin("key_b", "k", "hash")).toEqual({ outcome: "new" });
});

test("of many at once exactly one is new", async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 12 }, () => platform.idempotency.begin("key_a", "burst", "hash")),
  );
  expect(outcomes.filter(({ outcome }) => outcome === "new")).toHaveLength(1);
});

test("an abandoned key is free; an answered one is not abandoned", async () => {
  const { idempotency } = platform;
  await idempotency.begin("key_a", "again", "hash");
  await idempotency.abandon("key_a", "again");
  expect(await idempotency.begin("key_a", "again", "hash")).toEqual({ outcome: "new" });
  await idempotency.complete("key_a", "again", answer);
  await idempotency.abandon("key_a", "again");
  expect((await idempotency.begin("key_a", "again", "hash")).outcome).toBe("replay");
});

test("a key whose first request died is free after two minutes, and every key after a day", async () => {
  const { idempotency, db } = platform;
  await idempotency.begin("key_a", "died", "hash");
  await db.$executeRaw`UPDATE idempotency_keys SET locked_until = now() - interval '1 second' WHERE key = 'died'`;
  expect(await idempotency.begin("key_a", "died", "hash")).toEqual({ outcome: "new" });
  await idempotency.complete("key_a", "died", answer);
  await db.$executeRaw`UPDATE idempotency_keys SET expires_at = now() - interval '1 second' WHERE key = 'died'`;
  expect(await idempotency.begin("key_a", "died", "other")).toEqual({ outcome: "new" });
});
