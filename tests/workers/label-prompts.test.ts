import { beforeAll, describe, expect, it } from "vitest";
import type { FeatureDetailsLine, FeatureExample } from "../../domain/feature.ts";
import { markedText, splitExamples } from "../../workers/jobs/features/label-examples.ts";
import {
  type LabelPrompts,
  readExplanation,
  readLabelPrompts,
  readMatches,
} from "../../workers/jobs/features/label-prompts.ts";

function example(
  sample: number,
  value: number,
  pieces: [text: string, value: number][] = [["x", value]],
): FeatureExample {
  const tokens = pieces.map(([text, own], id) => ({ id, text, value: own }));
  return { band: 0, value, quantile: 1, sample, position: 5, at: 0, tokens };
}
const details = (examples: FeatureExample[]): FeatureDetailsLine => ({
  ...{ index: 7, first_position_max: 0, histogram: { edges: [], counts: [] }, examples },
  ...{ promoted: [{ id: 1, text: " cat", logit: 2 }], suppressed: [], neighbours: [] },
});

describe("an explanation", () => {
  it.each([
    ['{"label": "cats", "explanation": "All name cats."}', "cats"],
    ['Sure!\n```json\n{"explanation": "e", "label": " big {cats} "}\n```', "big {cats}"],
    ['<think>{"label": "dogs"} or so</think> {"label": "cats"}', "cats"],
    ['{"reasons": [{"a": 1}], "label": "cats"}', "cats"],
    [`{"label": "${"c".repeat(400)}"}`, "c".repeat(300)],
    ['{"label": "half \\ud83d pair"}', "half \ufffd pair"],
  ])("is found in %j", (answer, label) => {
    expect(readExplanation(answer)?.label).toBe(label);
  });

  it.each(["", "cats", '{"label": ""}', '{"label": 7}', '{"label": "cut', "[]", "{".repeat(100_000)])(
    "is not found in %j",
    (answer) => {
      expect(readExplanation(answer.slice(0, 200_000))).toBeNull();
    },
  );
});

describe("matches", () => {
  it.each([
    ["[1, 0, 1]", [true, false, true]],
    ["Texts [1] and [3] fit: [true, false, true]", [true, false, true]],
    ["```json\n[0,0,1]\n```", [false, false, true]],
  ])("are found in %j", (answer, matches) => {
    expect(readMatches(answer, 3)).toEqual(matches);
  });

  it.each(["[1, 0]", "[1, 0, 2]", "[1, 0, 1, 0]", "1, 0, 1", '["1", "0", "1"]'])(
    "are not found in %j for three texts",
    (answer) => {
      expect(readMatches(answer, 3)).toBeNull();
    },
  );
});

describe("examples", () => {
  it("are split in turns from strongest to weakest, and no text is both shown and held out", () => {
    const examples = [9, 8, 7, 6, 5, 4].map((value, i) => example(i === 3 ? 2 : i, value));
    const { shown, held } = splitExamples(details(examples), { shown: 10, held: 10 });
    expect(shown.map(({ value }) => value)).toEqual([9, 7, 5]);
    expect(held.map(({ value }) => value)).toEqual([8, 4]);
    const fewer = splitExamples(details(examples), { shown: 2, held: 1 });
    expect(fewer.shown.map(({ value }) => value)).toEqual([9, 7]);
    expect(fewer.held).toHaveLength(1);
    expect(splitExamples(details(examples), { shown: 10, held: 0 }).shown).toHaveLength(6);
  });

  it("are marked where the feature is active, with the strongest tokens scaled to ten", () => {
    const one = example(0, 4, [
      ["A", 0],
      [" black", 1],
      [" cat", 4],
      [" sat", 0],
      [" purring", 0.1],
    ]);
    expect(markedText(one, 8)).toBe('A<< black cat>> sat<< purring>>\n  (" cat" 5, " black" 1, " purring" 1)');
  });
});

describe("the prompts", () => {
  let prompts: LabelPrompts;
  beforeAll(async () => {
    prompts = await readLabelPrompts();
  });

  it("leave no place open, and texts with braces are not taken for places", () => {
    const text = example(0, 1, [["{label} {texts}", 1]]);
    const [explain] = prompts.explain(details([text]), [text]);
    expect(explain!.content).toContain("Text 1: <<{label} {texts}>>");
    expect(explain!.content).toContain('" cat"');
    const [detect] = prompts.detect("cats {count}", ["one", "two", "three"]);
    expect(detect!.content).toContain("cats {count}");
    expect(detect!.content).toContain("following 3 texts");
    expect(detect!.content).toContain("Text 3: three");
    expect(detect!.content).toContain("such as [0,1,0]");
    expect(`${explain!.content}${detect!.content}`.match(/\{(promoted|sample)\}/)).toBeNull();
  });
});
