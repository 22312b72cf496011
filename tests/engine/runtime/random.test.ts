import { describe, expect, it } from "vitest";
import { createRandom } from "../../../engine/runtime/random.ts";

const draw = <T>(count: number, next: () => T) => Array.from({ length: count }, next);

describe("random numbers", () => {
  it("depend on the seed alone", () => {
    const [a, b, c] = [createRandom(7), createRandom(7), createRandom(8)];
    const numbers = draw(100, a.float);
    expect(draw(100, b.float)).toEqual(numbers);
    expect(draw(100, c.float)).not.toEqual(numbers);
  });

  it("stay what they are: a change of the generator would break every stored seed", () => {
    const random = createRandom(0);
    expect(draw(4, () => random.int(1000))).toMatchInlineSnapshot(`
      [
        676,
        55,
        355,
        568,
      ]
    `);
  });

  it("continue exactly from a stored state, through JSON, in the middle of a pair of normals", () => {
    const random = createRandom("run");
    draw(5, random.normal);
    const state = JSON.parse(JSON.stringify(random.state()));
    const expected = [draw(9, random.normal), draw(3, random.float), random.fork("x").float()];
    const other = createRandom("another");
    other.restore(state);
    expect([draw(9, other.normal), draw(3, other.float), other.fork("x").float()]).toEqual(expected);
  });

  it("of a fork do not depend on what was drawn before, and differ by name", () => {
    const random = createRandom(1);
    const before = draw(3, random.fork("a").float);
    draw(10, random.float);
    expect(draw(3, random.fork("a").float)).toEqual(before);
    expect(draw(3, random.fork("b").float)).not.toEqual(before);
  });

  it("are uniform: mean 1/2 and variance 1/12 within five standard errors", () => {
    const random = createRandom(11);
    const n = 100_000;
    const numbers = draw(n, random.float);
    const mean = numbers.reduce((a, b) => a + b) / n;
    const variance = numbers.reduce((a, b) => a + (b - mean) ** 2, 0) / n;
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / n));
    expect(numbers.every((x) => x >= 0 && x < 1)).toBe(true);
  });

  it("that are normal have the moments of a normal within five standard errors", () => {
    const random = createRandom(12);
    const n = 100_000;
    const numbers = draw(n, random.normal);
    const moment = (k: number) => numbers.reduce((a, b) => a + b ** k, 0) / n;
    expect(Math.abs(moment(1))).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(moment(2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
  });

  it("that are integers fall on each value equally often (chi-square below its 99.99 % point)", () => {
    const random = createRandom(13);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[random.int(6)]!++;
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    expect(chiSquare).toBeLessThan(25.7);
    expect(() => random.int(0)).toThrow("int needs");
  });

  it("shuffle keeps the items and makes every order of three equally likely", () => {
    const random = createRandom(14);
    const counts = new Map<string, number>();
    for (let i = 0; i < 12_000; i++) {
      const order = random.shuffle([1, 2, 3]).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(["123", "132", "213", "231", "312", "321"]);
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 2000) ** 2 / 2000, 0);
    expect(chiSquare).toBeLessThan(25.7);
    expect(Array.from(random.shuffle(Int32Array.of(5, 6))).sort()).toEqual([5, 6]);
  });
});
