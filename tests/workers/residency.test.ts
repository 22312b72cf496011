import { describe, expect, test } from "vitest";
import { createResidency } from "../../workers/residency.ts";

function thing(sizeBytes: number) {
  const state = { closed: 0 };
  return { state, resident: { sizeBytes, close: async () => void state.closed++ } };
}

describe("open models and saes", () => {
  test("are opened once for everybody who asks at the same time", async () => {
    const residency = createResidency(100);
    let opened = 0;
    const open = async () => {
      opened += 1;
      return thing(10).resident;
    };
    const [first, second] = await Promise.all([residency.use("a", 10, open), residency.use("a", 10, open)]);
    expect(opened).toBe(1);
    expect(first.value).toBe(second.value);
  });

  test("the least recently used idle one is closed to make room", async () => {
    const residency = createResidency(25);
    const things = { a: thing(10), b: thing(10), c: thing(10) };
    const use = async (key: keyof typeof things) => {
      const lease = await residency.use(key, 10, async () => things[key].resident);
      lease.release();
    };
    await use("a");
    await use("b");
    await use("a");
    await use("c");
    expect(things.b.state.closed).toBe(1);
    expect(things.a.state.closed).toBe(0);
    expect(residency.keys()).toEqual(["a", "c"]);
    expect(residency.residentBytes).toBe(20);
  });

  test("what is in use stays open, and a newcomer that does not fit beside it is told to come again", async () => {
    const residency = createResidency(15);
    const held = thing(10);
    const lease = await residency.use("held", 10, async () => held.resident);
    const refused = residency.use("other", 10, async () => thing(10).resident);
    await expect(refused).rejects.toMatchObject({
      code: "WORKER_UNAVAILABLE",
      detail: expect.stringMatching(/10.*15/),
    });
    expect(held.state.closed).toBe(0);
    lease.release();
    await residency.use("third", 10, async () => thing(10).resident);
    expect(held.state.closed).toBe(1);
  });

  test("what can never fit is refused with both sizes, and nothing is closed for it", async () => {
    const residency = createResidency(15);
    const idle = thing(10);
    (await residency.use("idle", 10, async () => idle.resident)).release();
    const refused = residency.use("huge", 16, async () => thing(16).resident);
    await expect(refused).rejects.toMatchObject({
      code: "MEMORY_INSUFFICIENT",
      detail: expect.stringMatching(/16.*15/),
    });
    expect(idle.state.closed).toBe(0);
  });

  test("work that has the process to itself hears that it asks for too much together", async () => {
    const residency = createResidency(15, "MEMORY_INSUFFICIENT");
    await residency.use("model", 10, async () => thing(10).resident);
    const refused = residency.use("sae", 10, async () => thing(10).resident);
    await expect(refused).rejects.toMatchObject({ code: "MEMORY_INSUFFICIENT" });
  });

  test("what is being opened counts already", async () => {
    const residency = createResidency(15);
    const gate = Promise.withResolvers<void>();
    const first = residency.use("first", 10, () => gate.promise.then(() => thing(10).resident));
    expect(residency.residentBytes).toBe(10);
    const second = residency.use("second", 10, async () => thing(10).resident);
    await expect(second).rejects.toMatchObject({ code: "WORKER_UNAVAILABLE" });
    gate.resolve();
    (await first).release();
    await residency.use("second", 10, async () => thing(10).resident);
    expect(residency.keys()).toEqual(["second"]);
  });

  test("nothing is opened before what made room for it is closed", async () => {
    const residency = createResidency(15);
    const closed = Promise.withResolvers<void>();
    const slow = { sizeBytes: 10, close: () => closed.promise };
    (await residency.use("slow", 10, async () => slow)).release();
    let opened = 0;
    const open = async () => {
      opened += 1;
      return thing(5).resident;
    };
    const newcomers = Promise.all([
      residency.use("a", 5, open),
      residency.use("b", 5, open),
      residency.use("c", 5, open),
    ]);
    expect(opened).toBe(0);
    closed.resolve();
    await newcomers;
    expect(opened).toBe(3);
  });

  test("one that could not be opened is tried again", async () => {
    const residency = createResidency(10);
    const fails = residency.use("a", 1, async () => Promise.reject(new Error("no file")));
    await expect(fails).rejects.toThrow("no file");
    const lease = await residency.use("a", 1, async () => thing(1).resident);
    expect(lease.value.sizeBytes).toBe(1);
  });
});
