import { expect, test } from "vitest";
import { type IdKind, idPattern, idPrefixes, isId, looksLikeId, newId } from "../../domain/id.ts";

test("an id carries its prefix and 26 characters", () => {
  for (const kind of Object.keys(idPrefixes) as IdKind[]) {
    const id = newId(kind);
    expect(id).toMatch(new RegExp(idPattern(kind)));
    expect(isId(kind, id)).toBe(true);
  }
});

test("an id of one kind is not one of another", () => {
  expect(isId("sae", newId("model"))).toBe(false);
});

test("ids sort by their time", () => {
  const times = [1_000, 1_001, 2 ** 40, 2 ** 41];
  const ids = times.map((time) => newId("job", time));
  expect([...ids].sort()).toEqual(ids);
});

test("ids made in one millisecond are different and keep their order", () => {
  const ids = Array.from({ length: 1000 }, () => newId("job", 123_456));
  expect(new Set(ids).size).toBe(1000);
  expect([...ids].sort()).toEqual(ids);
});

test("a name that looks like an id is recognised, others are not", () => {
  expect(looksLikeId(newId("model"))).toBe(true);
  expect(looksLikeId("model_of_mine")).toBe(false);
});
