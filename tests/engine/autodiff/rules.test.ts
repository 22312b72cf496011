import { describe, expect, it } from "vitest";
import type { Rule } from "../../../engine/autodiff/rule.ts";
import { rules } from "../../../engine/autodiff/rules.ts";
import { isFloat } from "../../../engine/onnx/dtype.ts";
import type { Value } from "../../../engine/onnx/graph.ts";
import { mul } from "../../../engine/ops/elementwise.ts";
import { evaluate } from "../../../engine/reference/evaluate.ts";
import type { Case } from "../ops/cases.ts";
import { buildCase, runOnce, tolerances, toNdArrays, toNumbers, worstError } from "../ops/run-case.ts";
import { buildGradient, differentiable, gradientError } from "./gradient-check.ts";

const tolerance = 1e-8;

describe("the gradient is the limit of differences", () => {
  it.each(differentiable)("$title", async (testCase) => {
    const { error, at } = await gradientError(testCase);
    expect(error, at).toBeLessThan(tolerance);
  });
});

describe("in float32 the gradient graph agrees with the reference loops", () => {
  it.each(differentiable)("$title", async (testCase) => {
    const { graph, feeds } = buildGradient(testCase, "float32");
    const expected = evaluate(graph, toNdArrays(feeds));
    const actual = await runOnce(graph, feeds);
    for (const [name, result] of Object.entries(actual)) {
      const { error, at } = worstError(toNumbers(result.data), Array.from(expected[name]!.data));
      expect(error, `${name}, element ${at}`).toBeLessThan(10 * tolerances.float32);
    }
  });
});

/** The first case whose graph uses the operator on floats, so that a gradient passes through it. */
function caseFor(opType: string): Case | undefined {
  const floats = (values: readonly (Value | null)[]) => values.some((value) => value && isFloat(value.dtype));
  return differentiable.find((testCase) =>
    buildCase(testCase, "float64").graph.nodes.some(
      (node) => node.opType === opType && floats(node.inputs) && floats(node.outputs),
    ),
  );
}

/** Gradients one per cent too large. */
const wrong = (rule: Rule): Rule => {
  return (io) => rule(io).map((make) => make && (() => mul(make(), 1.01)));
};

describe("a rule that is wrong by one per cent is caught", () => {
  // Functions that are constant almost everywhere have no gradient to be wrong.
  const withGradient = Object.keys(rules).filter((opType) => !["Sign", "Floor", "Ceil", "Round"].includes(opType));

  it.each(withGradient)("%s", async (opType) => {
    const testCase = caseFor(opType);
    expect(testCase, `a case that uses ${opType}`).toBeDefined();
    const { error } = await gradientError(testCase!, { ...rules, [opType]: wrong(rules[opType]!) });
    expect(error).toBeGreaterThan(tolerance);
  });
});
