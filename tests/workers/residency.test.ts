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

  test("what is in use stays open even when there is no room", async () => {
    const residency = createResidency(5);
    const held = thing(10);
    const lease = await residency.use("held", 10, async () => held.resident);
    await residency.use("other", 10, async () => thing(10).resident);
    expect(held.state.closed).toBe(0);
    lease.release();
    await residency.use("third", 10, async () => thing(10).resident);
    expect(held.state.closed).toBe(1);
  });

  test("one that could not be opened is tried again", async () => {
    const residency = createResidency(10);
    const fails = residency.use("a", 1, async () => Promise.reject(new Error("no file")));
    await expect(fails).rejects.toThrow("no file");
    const lease = await residency.use("a", 1, async () => thing(1).resident);
    expect(lease.value.sizeBytes).toBe(1);
  });
});
