import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { broadcastShapes, type Dim, derivation, productOfDims, sumOfDims } from "../../../engine/onnx/shape.ts";

const symbols: Readonly<Record<string, number>> = { S: 2, T: 3, P: 5, B: 7 };

/** A size as a tree, so that its name can be made and its value known. */
type Tree = { readonly name: Dim; readonly value: number };

const leaf: fc.Arbitrary<Tree> = fc.oneof(
  fc.constantFrom(...Object.entries(symbols).map(([name, value]) => ({ name, value }))),
  fc.integer({ min: 1, max: 9 }).map((value) => ({ name: value, value })),
);

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.array(tie("tree"), { minLength: 2, maxLength: 3 }).map((parts) => ({
      name: sumOfDims(parts.map((part) => part.name)),
      value: parts.reduce((sum, part) => sum + part.value, 0),
    })),
    fc.array(tie("tree"), { minLength: 2, maxLength: 3 }).map((parts) => ({
      name: productOfDims(parts.map((part) => part.name)),
      value: parts.reduce((product, part) => product * part.value, 1),
    })),
  ),
}));

function sizeNamed(dim: Dim): number {
  if (typeof dim === "number") return dim;
  const derived = derivation(dim);
  if (!derived) return symbols[dim]!;
  const parts = derived.parts.map(sizeNamed);
  return derived.operator === "+" ? parts.reduce((a, b) => a + b) : parts.reduce((a, b) => a * b);
}

describe("names of sizes", () => {
  it("can be taken apart again, whatever they are made of", () => {
    fc.assert(
      fc.property(tree, ({ name, value }) => {
        expect(sizeNamed(name)).toBe(value);
      }),
      { numRuns: 500 },
    );
  });

  it("do not depend on the order of their parts", () => {
    fc.assert(
      fc.property(fc.array(tree, { minLength: 1, maxLength: 4 }), (parts) => {
        const names = parts.map((part) => part.name);
        expect(sumOfDims(names.toReversed())).toBe(sumOfDims(names));
        expect(productOfDims(names.toReversed())).toBe(productOfDims(names));
      }),
    );
  });

  it("fold numbers: what is cut off and put back cancels", () => {
    expect(sumOfDims([sumOfDims(["T", -2]), 2])).toBe("T");
    expect(productOfDims([2, "T", 3])).toBe("6*T");
    expect(productOfDims(["T", 0])).toBe(0);
    expect(sumOfDims([])).toBe(0);
    expect(productOfDims([])).toBe(1);
  });
});

describe("broadcasting", () => {
  it("does not depend on the order, and 1 is neutral", () => {
    expect(broadcastShapes(["S", 1, 4], ["T", 1])).toEqual(["S", "T", 4]);
    expect(broadcastShapes(["T", 1], ["S", 1, 4])).toEqual(["S", "T", 4]);
    expect(broadcastShapes([], ["S", 0])).toEqual(["S", 0]);
    expect(broadcastShapes([1], [0])).toEqual([0]);
  });
});
