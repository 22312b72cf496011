import { describe, expect, it } from "vitest";
import { Problem } from "../../domain/problem.ts";
import { parsePromptTemplate } from "../../domain/prompt-template.ts";
import { readyTemplates } from "../../domain/ready-templates.ts";

const sample = {
  text: "whole",
  question: "What is 2 + 2?",
  answer: 4,
  choices: ["3", "4"],
  meta: { topic: "sums", tags: ["easy"] },
  "dotted.name": "own",
  nothing: null,
};

function render(template: string): string {
  return parsePromptTemplate(template).render(sample, 1);
}

function refusal(act: () => unknown): Problem {
  try {
    act();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("a prompt template", () => {
  it("puts fields in their places, nested ones by their path", () => {
    expect(render("Q: {question}\nA: {answer} ({meta.topic}, {meta.tags.0})")).toBe(
      "Q: What is 2 + 2?\nA: 4 (sums, easy)",
    );
    expect(render("{ text }|{dotted.name}|{choices.1}")).toBe("whole|own|4");
  });

  it("writes a list as lettered lines", () => {
    expect(render("{choices}")).toBe("A. 3\nB. 4");
  });

  it("writes choices with labels of their own, in either shape", () => {
    const of = (choices: unknown) =>
      parsePromptTemplate("{choices}").render(
        { text: "", choices } as Parameters<ReturnType<typeof parsePromptTemplate>["render"]>[0],
        1,
      );
    expect(of([{ text: "ice", label: "1" }, { text: 7 }])).toBe("1. ice\nB. 7");
    expect(of({ text: ["ice", "stone"], label: ["1", "2"] })).toBe("1. ice\n2. stone");
    for (const choices of [[], {}, { text: [] }, [[1]], [{ label: "A" }], Array.from({ length: 27 }, () => "x")]) {
      expect(refusal(() => of(choices)).detail).toMatch(/^row 1 has .* in the field "choices", which is not text/);
    }
  });

  it.each([
    ["letter", 0, "A"],
    ["letter", "25", "Z"],
    ["letter", " b ", "B"],
    ["yes_no", true, "yes"],
    ["yes_no", "False", "no"],
    ["yes_no", 1, "yes"],
    ["lines", ["a", 2], "a\n2"],
    ["pick:n", ["a", "b"], "b"],
  ])("a place of the form %s writes %j as %j", (form, value, text) => {
    expect(parsePromptTemplate(`{v|${form}}`).render({ text: "", v: value, n: "1" }, 1)).toBe(text);
  });

  it.each([
    ["letter", 26, "has 26 in the field"],
    ["letter", "AB", 'has "AB" in the field "v", which is not letter'],
    ["yes_no", "perhaps", "which is not yes_no"],
    ["lines", "a", "which is not lines"],
    ["pick:n", "text", 'which is not a list that "n" numbers'],
    ["pick:n", ["a"], 'has a list in the field "v"'],
    ["pick:v", ["a"], 'has no whole number from 0 in the field "v"'],
  ])("a place of the form %s refuses %j", (form, value, reason) => {
    const problem = refusal(() => parsePromptTemplate(`{v|${form}}`).render({ text: "", v: value, n: "1" }, 5));
    expect(problem.detail).toContain(`row 5 `);
    expect(problem.detail).toContain(reason);
    expect(problem.errors[0]?.pointer).toBe("/rows/5/v");
  });

  it("takes doubled braces literally", () => {
    expect(render("{{{text}}} {{}}")).toBe("{whole} {}");
  });

  it("can be one of the ready ones, by name", () => {
    expect(render("multiple_choice")).toBe("Question: What is 2 + 2?\nA. 3\nB. 4\nAnswer:");
    expect(parsePromptTemplate("question_answer").fields).toEqual(["question"]);
  });

  it.each(Object.keys(readyTemplates))("named %s is itself well-formed", (name) => {
    expect(parsePromptTemplate(name).fields.length).toBeGreaterThan(0);
    const { shot } = readyTemplates[name]!;
    if (shot !== undefined) expect(parsePromptTemplate(shot).fields.length).toBeGreaterThan(0);
  });

  it.each([
    ["unheard_of", 'there is no template "unheard_of": use one of text, question,'],
    ["Q: {question", 'the "{" at character 4 has no partner'],
    ["Q: question}", 'the "}" at character 12 has no partner'],
    ["Q: { }", "the place at character 4 names no field"],
    ["{a|upper}", 'the place at character 1 has the form "upper"; there are letter, yes_no, lines, pick'],
    ["Q {a|pick}", "the place at character 3: pick takes a field"],
    ["{a|letter:b}", "pick takes a field"],
    ["always the same.", "the template has no place such as {question}"],
  ])("is refused when it is %j", (template, reason) => {
    const problem = refusal(() => parsePromptTemplate(template, "/input/benchmarks/0/template"));
    expect(problem.code).toBe("VALIDATION_FAILED");
    expect(problem.detail).toContain(reason);
    expect(problem.errors[0]?.pointer).toBe("/input/benchmarks/0/template");
  });

  it("names the row and the field that a sample lacks, or that is no text", () => {
    const missing = refusal(() => parsePromptTemplate("{quest}").render(sample, 7));
    expect(missing.code).toBe("DATASET_INVALID");
    expect(missing.detail).toMatch(/^row 7 has no field "quest"; its fields are text, question, answer/);
    expect(refusal(() => parsePromptTemplate("{nothing}").render(sample, 2)).detail).toBe(
      'row 2 has null in the field "nothing", which is not text',
    );
    expect(refusal(() => parsePromptTemplate("{meta}").render(sample, 2)).detail).toContain("an object in the field");
  });

  it("does not reach beyond the sample's own fields", () => {
    expect(refusal(() => render("{constructor}")).detail).toContain('no field "constructor"');
    expect(refusal(() => render("{choices.length}")).detail).toContain('no field "choices.length"');
  });
});
