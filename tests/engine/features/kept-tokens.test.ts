import { expect, test } from "vitest";
import { contrastValues } from "../../../engine/features/contrast.ts";
import { keptTokens, type TokenMask } from "../../../engine/features/kept-tokens.ts";
import { createRepetition } from "../../../engine/features/repetition.ts";

const nothing: TokenMask = { firstPosition: false, specialTokens: false, sharedPrefix: false, sharedTokens: false };
const sequences = [
  { ids: Int32Array.of(9, 1, 2, 3), group: 0 },
  { ids: Int32Array.of(9, 1, 4, 2), group: 1 },
  { ids: Int32Array.of(9, 1, 5), group: 2 },
];
const kept = (leaveOut: Partial<TokenMask>) =>
  keptTokens(sequences, { ...nothing, ...leaveOut }, (id) => id === 9).map((mask) => [...mask]);

test("every token counts unless something leaves it out", () => {
  expect(kept({})).toEqual([
    [1, 1, 1, 1],
    [1, 1, 1, 1],
    [1, 1, 1],
  ]);
});

test("the first position, special tokens, what all begin with, and what both sides have can be left out", () => {
  expect(kept({ firstPosition: true })[0]).toEqual([0, 1, 1, 1]);
  expect(kept({ specialTokens: true })[2]).toEqual([0, 1, 1]);
  expect(kept({ sharedPrefix: true })).toEqual([
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1],
  ]);
  // 9, 1 and 2 occur on both sides; 5 and 4 on the others only, 3 on the positive only.
  expect(kept({ sharedTokens: true })).toEqual([
    [0, 0, 0, 1],
    [0, 0, 1, 0],
    [0, 0, 1],
  ]);
});

test("repetition is the mean over repeated tokens of their features at the last occurrence minus the first", () => {
  const repetition = createRepetition(3);
  // Token 7 three times (0: 1 → 4, 1: 0 → 2), token 8 twice (0: 2 → 1), token 5 once.
  repetition.addToken(7, [0], [1]);
  repetition.addToken(8, [0], [2]);
  repetition.addToken(5, [2], [9]);
  repetition.addToken(7, [0], [100]);
  repetition.addToken(8, [0], [1]);
  repetition.addToken(7, [0, 1], [4, 2]);
  repetition.endSample();
  // Nothing repeats here: the sample weighs nothing.
  repetition.addToken(7, [2], [5]);
  repetition.endSample();
  expect([...contrastValues(repetition.finish(), [0, 0], 1)]).toEqual([(3 - 1) / 2, 2 / 2, 0]);
});
