import { describe, expect, it } from "vitest";
import { evaluate } from "../../../engine/reference/evaluate.ts";
import { cases, type FloatType, withoutFloat64 } from "./cases.ts";
import { buildCase, runOnce, tolerances, toNdArrays, toNumbers, worstError } from "./run-case.ts";

const floatTypes: readonly FloatType[] = ["float32", "float64"];

describe.each(floatTypes)("in %s the runtime agrees with the reference loops", (float) => {
  it.each(cases)("$title", async (testCase) => {
    const { graph, results, feeds } = buildCase(testCase, float);
    results.forEach((value, i) => {
      graph.output(value, `y${i}`);
    });
    if (float === "float64" && graph.nodes.some((node) => withoutFloat64.has(node.opType))) {
      // When this fails, a new version of the runtime has the kernel: take it off the list.
      await expect(runOnce(graph, feeds)).rejects.toThrow("Could not find an implementation");
      return;
    }
    const expected = evaluate(graph, toNdArrays(feeds));
    const actual = await runOnce(graph, feeds);
    for (const [name, result] of Object.entries(actual)) {
      expect(result.shape).toEqual(expected[name]!.shape);
      const { error, at } = worstError(toNumbers(result.data), Array.from(expected[name]!.data));
      expect(error, `${name}, element ${at}`).toBeLessThan(tolerances[testCase.rounds ? "float32" : float]);
    }
  });
});
