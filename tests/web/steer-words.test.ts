import { describe, expect, test } from "vitest";
import { chosenFeatures, textsToRead, valuesOf } from "../../web/steer/activations.ts";
import { expectedArms, withChunk } from "../../web/steer/arms.ts";
import { reportSentences } from "../../web/steer/report-words.ts";
import { emptyEdit, emptyForm } from "../../web/steer/steer-form.ts";
import { emptySweep, missingFromSweep, numbersOf, sweepInput } from "../../web/steer/sweep-form.ts";
import { shadeOf, strongestTokens } from "../../web/tokens/shade.ts";

const edited = { edit: 0, layer: 3, prompt_tokens: 4, generated_tokens: 1, mean_relative_change: 0.314 };
const report = (more: object) => ({
  edits: [{ ...edited, gate_open_tokens: null, in_top_k_tokens: 0, ...more }],
  fingerprint: "f",
  determinism: "exact" as const,
});

describe("a steering report in words", () => {
  test("says what was touched, how far, and whether the feature was at home there", () => {
    expect(reportSentences(report({}), ["demo:7"])).toEqual([
      "demo:7 at layer 3 changed 4 prompt tokens and 1 generated token by 31 % of the residual stream's length on average. On none of them was the feature active by itself.",
    ]);
    expect(reportSentences(report({ gate_open_tokens: 0, in_top_k_tokens: null }), ["demo:7"])[0]).toMatch(
      /average\. Its gate never opened\.$/,
    );
    const none = { prompt_tokens: 0, generated_tokens: 0 };
    expect(reportSentences(report(none), ["demo:7"])).toEqual(["demo:7 at layer 3 touched no token."]);
  });
});

describe("the arms of an experiment", () => {
  test("fill as chunks of either route come in, whatever their order", () => {
    let arms = expectedArms(true, false);
    expect(arms.map(({ role }) => role)).toEqual(["baseline", "steered"]);
    arms = withChunk(arms, { choices: [{ index: 0, text: "a", role_in_experiment: "steered" }] });
    arms = withChunk(arms, { choices: [{ index: 1, delta: { content: "b" }, role_in_experiment: "baseline" }] });
    const steering_report = report({});
    const last = { index: 0, text: "c", finish_reason: "stop" as const, steering_report };
    arms = withChunk(arms, { choices: [{ ...last, role_in_experiment: "steered" }] });
    expect(arms.map(({ role, text, finishReason }) => [role, text, finishReason])).toEqual([
      ["baseline", "b", null],
      ["steered", "ac", "stop"],
    ]);
    expect(arms[1]!.report).toBe(steering_report);
  });

  test("a text that nothing steers has no role", () => {
    const arms = withChunk(expectedArms(false, true), { choices: [{ index: 0, text: "x" }] });
    expect(arms).toMatchObject([{ role: null, index: 0, text: "x" }]);
  });
});

describe("activations of chosen features", () => {
  const form = { ...emptyForm, prompt: "P", edits: [{ ...emptyEdit, feature: "s:1", gate: "s:2" }, emptyEdit] };
  const arms = withChunk(expectedArms(true, false), {
    choices: [{ index: 0, text: " answer", role_in_experiment: "steered" }],
  });

  test("are read on prompt and answer together, in a chat apart", () => {
    expect(chosenFeatures(form)).toEqual(["s:1", "s:2"]);
    expect(textsToRead(form, arms).map(({ text }) => text)).toEqual(["P", "P answer"]);
    expect(textsToRead({ ...form, mode: "chat" }, arms).map(({ text }) => text)).toEqual(["P", " answer"]);
  });

  test("are 0 where the feature is not among the active ones, and are told in words", () => {
    const tokens = ["a", " ", "b"].map((text, id) => ({ id, text }));
    const features = [[], [{ index: 5, value: 2 }], [{ index: 4, value: 9 }]];
    const values = valuesOf({ tokens, features }, 5);
    expect(values.map(({ value }) => value)).toEqual([0, 2, 0]);
    expect(strongestTokens(values)).toBe("“␣” 2.0");
    expect([0, 0.1, 4, 8].map((value) => shadeOf(value, 8))).toEqual([0, 1, 4, 8]);
    expect(shadeOf(1, 0)).toBe(0);
  });
});

describe("a sweep from the form", () => {
  const form = { ...emptyForm, model: "m", prompt: "one", edits: [{ ...emptyEdit, feature: "s:1" }] };

  test("is the first edit at each strength, over the lines or the form's own prompt", () => {
    expect(numbersOf("2, 0.5;1 1")).toEqual([0.5, 1, 2]);
    expect(numbersOf("1, x")).toBeNull();
    const input = sweepInput({ ...emptySweep, strengths: "1, 2", prompts: "a\n\nb" }, form, "model_1");
    expect(input).toMatchObject({ prompts: ["a", "b"], features: ["s:1"], strengths: [1, 2], unit: "residual_norm" });
    expect(sweepInput(emptySweep, form, "model_1").prompts).toEqual(["one"]);
    const ablate = { ...form, edits: [{ ...emptyEdit, feature: "s:1", op: "ablate" as const }] };
    expect(sweepInput(emptySweep, ablate, "model_1")).not.toHaveProperty("strengths");
  });

  test("says what is missing", () => {
    expect(missingFromSweep(emptySweep, emptyForm)).toContain("feature");
    expect(missingFromSweep({ ...emptySweep, strengths: "" }, form)).toContain("Strengths");
    expect(missingFromSweep({ ...emptySweep, goal: "regex" }, form)).toContain("pattern");
    expect(missingFromSweep(emptySweep, form)).toBeNull();
  });
});
