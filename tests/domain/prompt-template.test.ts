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

  it("takes doubled braces literally", () => {
    expect(render("{{{text}}} {{}}")).toBe("{whole} {}");
  });

  it("can be one of the ready ones, by name", () => {
    expect(render("multiple_choice")).toBe("Question: What is 2 + 2?\nA. 3\nB. 4\nAnswer:");
    expect(parsePromptTemplate("question_answer").fields).toEqual(["question"]);
  });

  it.each(Object.keys(readyTemplates))("named %s is itself well-formed", (name) => {
    expect(parsePromptTemplate(name).fields.length).toBeGreaterThan(0);
  });

  it.each([
    ["unheard_of", 'there is no template "unheard_of": use one of text, question,'],
    ["Q: {question", 'the "{" at character 4 has no partner'],
    ["Q: question}", 'the "}" at character 12 has no partner'],
    ["Q: { }", "the place at character 4 names no field"],
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
