import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

// An hour's window: nothing flows back while the test runs.
const rule = { limit: 5, windowSeconds: 3600 };

test("as many as the limit pass, over all processes, and no more", async () => {
  const other = await platform.another();
  const results = await Promise.all(
    Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? platform : other).rateLimits.take("burst", rule)),
  );
  expect(results.filter(({ allowed }) => allowed)).toHaveLength(5);
  const refused = results.find(({ allowed }) => !allowed);
  expect(refused).toMatchObject({ limit: 5, remaining: 0 });
  expect(refused?.retryAfterSeconds).toBeGreaterThan(600);
  expect(refused?.retryAfterSeconds).toBeLessThanOrEqual(720);
});

test("the answer counts down what remains", async () => {
  const remaining = [];
  for (let i = 0; i < 5; i++) remaining.push((await platform.rateLimits.take("countdown", rule)).remaining);
  expect(remaining).toEqual([4, 3, 2, 1, 0]);
});

test("what was taken flows back with time, one by one", async () => {
  for (let i = 0; i < 5; i++) await platform.rateLimits.take("refill", rule);
  await platform.db
    .$executeRaw`UPDATE rate_limits SET full_at = full_at - interval '13 minutes' WHERE bucket = 'refill'`;
  expect((await platform.rateLimits.take("refill", rule)).allowed).toBe(true);
  expect((await platform.rateLimits.take("refill", rule)).allowed).toBe(false);
});

test("a cost is taken as a whole, and one above the limit never passes", async () => {
  expect(await platform.rateLimits.take("cost", { ...rule, cost: 4 })).toMatchObject({ allowed: true, remaining: 1 });
  expect(await platform.rateLimits.take("cost", { ...rule, cost: 2 })).toMatchObject({ allowed: false, remaining: 1 });
  expect((await platform.rateLimits.take("cost", rule)).allowed).toBe(true);
  expect((await platform.rateLimits.take("too-much", { ...rule, cost: 6 })).allowed).toBe(false);
});
