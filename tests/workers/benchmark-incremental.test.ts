import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BenchmarkRef } from "../../domain/benchmark.ts";
import type { BenchmarkAnalysis } from "../../domain/benchmark-analysis.ts";
import { createLab, GREETINGS, type Lab, type Ran, SUMS } from "./benchmark-lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
  // Planted: a part of the greetings, the same once more, and text that shares nothing but the model.
  const samples = (texts: readonly string[]) => texts.map((text) => ({ text }));
  await lab.addDataset("dataset_part", "part", samples(GREETINGS.slice(0, 3)));
  await lab.addDataset("dataset_again", "again", samples(GREETINGS.toReversed()));
  await lab.addDataset("dataset_repeated", "repeated", [
    { id: 1, text: "Hi" },
    { id: 2, text: "Hi" },
    { id: 2, text: "Hello there" },
  ]);
});
afterAll(() => lab.close());

const refs = (...names: string[]): BenchmarkRef[] => names.map((name) => ({ dataset_id: `dataset_${name}` }));
const started = ({ events }: Ran) =>
  events.filter(({ name }) => name === "benchmark_started").map(({ data }) => (data as { name: string }).name);
const analysisOf = async (ran: Ran) => JSON.parse(await lab.textOf(ran, "analysis")) as BenchmarkAnalysis;

describe("a benchmark that was analysed before", () => {
  it("is not run again: one more beside others costs the forward of that one", async () => {
    lab.forgetMeasured();
    const first = await lab.run({ benchmarks: refs("greetings", "part"), reuse: true });
    expect(started(first)).toEqual(["greetings", "part"]);
    const more = await lab.run({ benchmarks: refs("greetings", "sums", "part"), reuse: true });
    expect(started(more)).toEqual(["sums"]);
    const sumsTokens = more.result.benchmarks[1]!.tokens;
    expect(more.progress.at(-1)).toMatchObject({ done: sumsTokens, total: sumsTokens });
    expect(more.result.benchmarks.map(({ reused }) => reused)).toEqual([true, false, true]);
    const fresh = await lab.run({ benchmarks: refs("greetings", "sums", "part"), reuse: false });
    expect(started(fresh)).toHaveLength(3);
    const figures = ({ result }: Ran) => [result.benchmarks.map((one) => ({ ...one, reused: 0 })), result.overlap];
    expect(figures(more)).toEqual(figures(fresh));
  });

  it("needs no model at all when all of them are known", async () => {
    await lab.run({ benchmarks: refs("greetings", "sums"), reuse: true });
    const noModel = { use: () => Promise.reject(new Error("the model was opened")) };
    const again = await lab.run(
      { benchmarks: refs("sums", "greetings"), reuse: true },
      { residency: { ...noModel, forget: async () => {}, close: async () => {} } as never },
    );
    expect(again.progress.at(-1)).toMatchObject({ done: 2, total: 2, unit: "benchmarks" });
    expect(again.result.benchmarks[0]!.name).toBe("sums");
  });

  it("is another one with another template, position, sae or draw", async () => {
    await lab.run({ benchmarks: refs("greetings"), reuse: true });
    const change = async (input: Parameters<Lab["run"]>[0]) =>
      started(await lab.run({ benchmarks: refs("greetings"), reuse: true, ...input }));
    expect(await change({})).toEqual([]);
    expect(await change({ max_samples: 100 })).toEqual([]);
    expect(await change({ max_samples: 3 })).toEqual(["greetings"]);
    expect(await change({ max_samples: 3, seed: 5 })).toEqual(["greetings"]);
    expect(await change({ position: "any" })).toEqual(["greetings"]);
    expect(await change({ benchmarks: [{ dataset_id: "dataset_greetings", template: "- {text}" }] })).toEqual([
      "greetings",
    ]);
    expect(await change({ sae_ids: ["sae_0"] })).toEqual(["greetings"]);
    // Both saes are known by now, each from its own job.
    expect(await change({ sae_ids: ["sae_1", "sae_0"] })).toEqual([]);
  });
});

describe("a planted suite", () => {
  it("shows the part as covered, the repetition as a duplicate, and drops them for what contains them", async () => {
    const ran = await lab.run({ benchmarks: refs("part", "greetings", "again", "sums"), merge_above: 1 });
    const [part, greetings, again, sums] = [0, 1, 2, 3] as const;
    const { overlap, jaccard, merge, benchmarks, features } = ran.result;
    expect(overlap[part]![greetings]).toBe(1);
    expect(overlap[greetings]![part]).toBeLessThan(1);
    expect([overlap[again]![greetings], jaccard[again]![greetings]]).toEqual([1, 1]);
    expect(benchmarks[again]!.uniqueness).toBe(0);
    expect(benchmarks[sums]!.lost_without).toBeGreaterThan(0);
    expect(merge.map(({ drop, keep, lost }) => [drop, keep, lost])).toEqual([
      ["part", "greetings", 0],
      ["again", "greetings", 0],
    ]);
    const analysis = await analysisOf(ran);
    expect(analysis.merge.features_left).toBe(features);
    const at = (i: number) => analysis.order.indexOf(i);
    expect(Math.abs(at(greetings) - at(again))).toBe(1);
  });

  it("tells its unique features with their labels and the ends of their prompts", async () => {
    const { benchmarks } = await analysisOf(await lab.run({ benchmarks: refs("greetings", "sums") }));
    for (const { unique_features, lost_without } of benchmarks) {
      expect(unique_features).toHaveLength(Math.min(20, lost_without));
      for (const { feature, label, samples, examples } of unique_features) {
        const index = Number(feature.split(":")[1]);
        expect(label).toBe(index % 2 === 0 ? `label ${index}` : null);
        expect(examples).toHaveLength(Math.min(3, samples));
        for (const { prompt } of examples) expect(await lab.featuresOf(prompt, "sae_1")).toContain(index);
      }
    }
  });
});

describe("prompts", () => {
  it("beyond the context are cut on the left, counted, and measured at their own end", async () => {
    const { contextLength } = lab.language.config;
    await lab.addDataset("dataset_long", "long", [{ text: `${"word ".repeat(contextLength)}Good morning.` }]);
    const { result } = await lab.run({ benchmarks: refs("long") });
    expect(result.benchmarks[0]).toMatchObject({ cut: 1, tokens: contextLength });
    const short = await lab.run({ benchmarks: refs("greetings") });
    expect(short.result.benchmarks[0]!.cut).toBe(0);
  });

  it("that repeat another one, and repeated ids, are counted", async () => {
    const { result } = await lab.run({ benchmarks: refs("repeated") });
    expect(result.benchmarks[0]).toMatchObject({ samples: 3, duplicates: 1, duplicate_ids: 1 });
  });
});

describe("the second set of figures", () => {
  it("leaves out what fires in neutral text more often than asked, and nothing else", async () => {
    const common = new Set<number>();
    for (const text of GREETINGS) for (const feature of await lab.featuresOf(text, "sae_1", "any")) common.add(feature);
    // Of 7 short texts: any feature that fires at all is above a thousandth of the tokens.
    const input = { benchmarks: refs("sums"), neutral_dataset_id: "dataset_greetings", common_above: 0.001 };
    const ran = await lab.run(input);
    const own = new Set<number>();
    for (const text of SUMS) for (const feature of await lab.featuresOf(text, "sae_1")) own.add(feature);
    const { specific } = await analysisOf(ran);
    expect(new Set(specific.common_features)).toEqual(new Set([...common].map((feature) => `sae_1:${feature}`)));
    expect(ran.result.benchmarks[0]!.specific.features).toBe([...own].filter((feature) => !common.has(feature)).length);
    expect(specific.neutral).toBe("greetings");
  });
});

describe("several saes", () => {
  it("give figures of each, and of its stronger half, with the rank correlation between them", async () => {
    const ran = await lab.run({ benchmarks: refs("greetings", "sums", "part"), sae_ids: ["sae_0", "sae_1"] });
    const { stability } = await analysisOf(ran);
    expect(stability!.variants.map(({ sae_id, k }) => [sae_id, k])).toEqual([
      ["sae_0", 4],
      ["sae_0", 2],
      ["sae_0", 1],
      ["sae_1", 4],
      ["sae_1", 2],
      ["sae_1", 1],
    ]);
    const alone = await lab.run({ benchmarks: refs("greetings", "sums", "part"), sae_ids: ["sae_1"] });
    expect(stability!.variants[3]!.features).toEqual(alone.result.benchmarks.map(({ features }) => features));
    expect(stability!.variants[3]!.overlap_min).toEqual(alone.result.overlap_min);
    expect(stability!.redundancy_spearman[0]![0]).toBe(1);
  });
});

describe("scores", () => {
  const models = ["a", "b", "c", "d"];
  const scores = (values: readonly number[]) => Object.fromEntries(models.map((model, i) => [model, values[i]!]));

  it("stand beside the features: similarity, and redundancy where single samples were scored", async () => {
    const bySample = Object.fromEntries(models.map((model, m) => [model, GREETINGS.map((_, i) => Number(i > m))]));
    const ran = await lab.run({
      benchmarks: refs("greetings", "sums", "part"),
      scores: {
        models,
        benchmarks: [
          { name: "greetings", sample_scores: bySample },
          { name: "sums", scores: scores([0.4, 0.3, 0.2, 0.1]) },
          { name: "part", scores: scores([0.5, 0.5, 0.5, 0.5]) },
        ],
        given: "sums",
      },
    });
    const found = (await analysisOf(ran)).scores!;
    expect(found.similarity.pearson[0]![1]).toBeCloseTo(1, 12);
    expect(found.similarity.pearson[0]![2]).toBeNull();
    expect(found.similarity.reasons).toEqual([null, null, "all models score the same, so correlation is undefined"]);
    expect(found.partial!.reasons[0]).toBe("the benchmark that is held fixed explains its scores entirely");
    expect(found.performance_redundancy[0]).toMatchObject({ reason: null, evaluations: 200 * GREETINGS.length });
    expect(found.performance_redundancy[1]).toMatchObject({
      value: null,
      reason: "no scores of single samples were given",
    });
    expect(found.overlap_min.direct.pearson).toMatchObject({ value: null, benchmarks: 2 });
  });

  it("of a column that holds none are refused with row and column", async () => {
    const problem = await lab
      .run({
        benchmarks: refs("greetings"),
        scores: { models, benchmarks: [{ name: "greetings", sample_columns: { a: "correct" } }] },
      })
      .catch((error: unknown) => error);
    expect(problem).toMatchObject({
      code: "DATASET_INVALID",
      errors: [{ pointer: "/input/scores/benchmarks/0/sample_columns/a" }],
      detail: expect.stringMatching(/^row \d has no column "correct"/),
    });
  });
});
