import { describe, expect, it } from "vitest";
import { createContrast } from "../../../engine/features/contrast.ts";

describe("a contrast between two sets of texts", () => {
  it("ranks by the difference of mean activations over tokens, silence counting as zero", () => {
    const contrast = createContrast(4);
    contrast.addToken("positive", [1, 2], [4, 1]);
    contrast.addToken("positive", [2], [1]);
    contrast.endSample("positive");
    contrast.addToken("negative", [2], [3]);
    contrast.endSample("negative");
    const ranked = contrast.top("mean_difference", 4);
    expect(ranked.map(({ index, value }) => [index, value])).toEqual([
      [1, 2],
      [0, 0],
      [3, 0],
      [2, -2],
    ]);
    expect(contrast.top("mean_difference", 1, { fromBottom: true })[0]?.index).toBe(2);
  });

  it("counts a sample once, however many of its tokens fire", () => {
    const contrast = createContrast(3);
    for (let token = 0; token < 5; token++) contrast.addToken("positive", [0], [1]);
    contrast.endSample("positive");
    contrast.addToken("positive", [1], [1]);
    contrast.endSample("positive");
    contrast.addToken("negative", [0], [1]);
    contrast.endSample("negative");
    const [first] = contrast.top("firing_rate_difference", 1);
    expect(first).toMatchObject({ index: 1, value: 0.5, positiveRate: 0.5, negativeRate: 0 });
    expect(contrast.top("firing_rate_difference", 3).at(-1)).toMatchObject({
      index: 0,
      value: -0.5,
      positiveRate: 0.5,
    });
  });

  it("cannot be ranked with an empty side", () => {
    const contrast = createContrast(3);
    contrast.addToken("positive", [0], [1]);
    contrast.endSample("positive");
    expect(() => contrast.top("mean_difference", 1)).toThrow("the negative side has no tokens");
  });

  it("refuses an index outside the dictionary and a NaN", () => {
    const contrast = createContrast(3);
    expect(() => contrast.addToken("positive", [3], [1])).toThrow("expected an integer in [0, 3), got 3");
    expect(() => contrast.addToken("positive", [1], [Number.NaN])).toThrow("activation of feature 1 is NaN");
  });
});
