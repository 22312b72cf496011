import { expect, test } from "vitest";
import { layerGroups } from "../../domain/release.ts";

test("layers go into groups of neighbours of nearly equal size, none above the limit, none left out", () => {
  for (const count of [1, 2, 5, 28, 36, 64]) {
    const layers = Array.from({ length: count }, (_, layer) => layer);
    for (let perJob = 1; perJob <= count + 1; perJob++) {
      const groups = layerGroups(layers.toReversed(), perJob);
      expect(groups.flat()).toEqual(layers);
      const sizes = groups.map((group) => group.length);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(perJob);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      expect(groups.length).toBe(Math.ceil(count / perJob));
    }
  }
});
