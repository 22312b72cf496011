import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BenchmarkAnalyzeInput, BenchmarkAnalyzeResult } from "../../domain/benchmark.ts";
import { BenchmarkAnalysis } from "../../domain/benchmark-analysis.ts";
import { Problem } from "../../domain/problem.ts";
import { checkSchema } from "../../domain/schema.ts";
import { bytesOf } from "../../workers/bytes.ts";
import { Stopped } from "../../workers/jobs/handler.ts";
import type { CheckpointPointer } from "../../workers/protocol.ts";
import { createLab, GREETINGS, type Lab, SUMS } from "./benchmark-lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

/** What may differ between a run and its repetition: which benchmarks were known, and the ids of files. */
const withoutReuse = ({ benchmarks, artifacts, ...rest }: BenchmarkAnalyzeResult) => ({
  ...rest,
  benchmarks: benchmarks.map((one) => ({ ...one, reused: null })),
  artifacts: Object.keys(artifacts),
});

const run: Lab["run"] = (...given) => lab.run(...given);

/** Σ_n c_n / |F(D)| by the mean over every subset (Eqs. 7 and 9). */
function redundancyByEnumeration(sets: readonly Set<number>[]): number {
  const all = new Set(sets.flatMap((set) => [...set])).size;
  const sums = new Float64Array(sets.length + 1);
  const subsets = new Float64Array(sets.length + 1);
  for (let mask = 1; mask < 2 ** sets.length; mask++) {
    const chosen = sets.filter((_, i) => (mask >> i) & 1);
    sums[chosen.length]! += new Set(chosen.flatMap((set) => [...set])).size / all;
    subsets[chosen.length]! += 1;
  }
  let sum = 0;
  for (let n = 1; n <= sets.length; n++) sum += sums[n]! / subsets[n]!;
  return sum / all;
}

describe("benchmark.analyze", () => {
  it("gives the figures that enumeration gives for each prompt run alone", async () => {
    const { result } = await run({});
    expect(checkSchema(BenchmarkAnalyzeResult, result)).toEqual([]);
    const greetings = await Promise.all(GREETINGS.map((text) => lab.featuresOf(text, "sae_1")));
    const sums = await Promise.all(SUMS.map((text) => lab.featuresOf(`Question: ${text}`, "sae_1")));
    const [a, b] = [greetings, sums].map((sets) => new Set(sets.flatMap((set) => [...set])));
    const shared = [...a!].filter((feature) => b!.has(feature)).length;
    expect(result.benchmarks.map(({ name, samples, features }) => ({ name, samples, features }))).toEqual([
      { name: "greetings", samples: 7, features: a!.size },
      { name: "sums", samples: 5, features: b!.size },
    ]);
    expect(result.benchmarks[0]!.redundancy).toBeCloseTo(redundancyByEnumeration(greetings), 12);
    expect(result.benchmarks[1]!.redundancy).toBeCloseTo(redundancyByEnumeration(sums), 12);
    expect(result.overlap).toEqual([
      [1, shared / a!.size],
      [shared / b!.size, 1],
    ]);
    expect(result.overlap_min[0]![1]).toBe(shared / Math.min(a!.size, b!.size));
  });

  it("leaves the report, the tables and the pictures as artifacts, and the sets when asked", async () => {
    const ran = await run({ feature_sets: true });
    const report = JSON.parse(await lab.textOf(ran, "analysis"));
    expect(checkSchema(BenchmarkAnalysis, report)).toEqual([]);
    expect(await lab.textOf(ran, "page")).toMatch(/^<!doctype html>/);
    expect(report).toMatchObject({ model: { id: "model_a" }, position: "last", seed: 0 });
    expect(report.benchmarks[0].redundancy).toBe(ran.result.benchmarks[0]!.redundancy);
    expect(report.benchmarks[0].coverage.coverage.at(-1)).toBe(1);
    expect(await lab.textOf(ran, "overlap_csv")).toMatch(/^benchmark,greetings,sums\r\ngreetings,1,/);
    for (const key of ["heat_map_svg", "heat_map_min_svg", "coverage_svg"]) {
      expect(await lab.textOf(ran, key)).toMatch(/^<svg [^>]*>\n<title>/);
    }
    const sets = ran.output.artifacts?.find(({ id }) => id === ran.result.artifacts.feature_sets);
    const lines = gunzipSync(await bytesOf(await lab.blobs.get(sets!.blob.digest)))
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(12);
    // Longest prompts first, so that a batch holds prompts of about one length.
    const lengths = lines.slice(0, 7).map(({ sample }) => lab.language.tokenizer.encode(GREETINGS[sample]!).length);
    expect(lengths).toEqual(lengths.toSorted((a, b) => b - a));
    for (const { benchmark, sample, features } of lines) {
      const prompt = benchmark === "sums" ? `Question: ${SUMS[sample]}` : GREETINGS[sample]!;
      expect(new Set(features)).toEqual(await lab.featuresOf(prompt, "sae_1"));
    }
  });

  it("takes the union of all tokens' features with position any, and of several saes", async () => {
    const { result } = await run({
      position: "any",
      sae_ids: ["sae_1", "sae_0"],
      benchmarks: [{ dataset_id: "dataset_sums" }],
    });
    let features = 0;
    for (const sae of ["sae_0", "sae_1"]) {
      const sets = await Promise.all(SUMS.map((text) => lab.featuresOf(text, sae, "any")));
      features += new Set(sets.flatMap((set) => [...set])).size;
    }
    expect(result.benchmarks[0]!.features).toBe(features);
    expect((await run({ position: "mean" })).result.benchmarks[0]!.features).toBeGreaterThan(0);
  });

  it("draws the same subset for a seed, and another for another", async () => {
    const sampled = async (seed: number) => {
      const ran = await run({ max_samples: 3, seed, feature_sets: true });
      const sets = ran.output.artifacts?.find(({ id }) => id === ran.result.artifacts.feature_sets);
      return gunzipSync(await bytesOf(await lab.blobs.get(sets!.blob.digest))).toString();
    };
    expect((await sampled(1)).trim().split("\n")).toHaveLength(6);
    expect(await sampled(1)).toBe(await sampled(1));
    expect(await sampled(1)).not.toBe(await sampled(2));
  });

  it("reports progress in tokens up to the total, and each benchmark's figures as they are known", async () => {
    const { progress, events, result } = await run({});
    expect(progress.at(-1)!.done).toBe(progress.at(-1)!.total);
    expect(events.slice(0, 2).map(({ name }) => name)).toEqual(["benchmark_read", "benchmark_read"]);
    const counted = events.filter(({ name }) => name === "benchmark_counted");
    expect(counted.map(({ data }) => (data as { redundancy: number }).redundancy)).toEqual(
      result.benchmarks.map(({ redundancy }) => redundancy),
    );
  });

  it("goes on from a checkpoint without running the finished benchmarks again", async () => {
    const whole = await run({});
    const greetings = [...lab.measured.values()].find(
      ({ datasetDigest }) => datasetDigest === lab.digestOf("greetings"),
    );
    const blob = await lab.blobs.put(Buffer.from(JSON.stringify([[greetings!.key, greetings!.blob]])));
    const checkpoint: CheckpointPointer = { ...blob, step: 1 };
    const { result, events } = await run({}, { checkpoint });
    const started = events.filter(({ name }) => name === "benchmark_started");
    expect(started.map(({ data }) => (data as { name: string }).name)).toEqual(["sums"]);
    expect(result.benchmarks.map(({ reused }) => reused)).toEqual([true, false]);
    expect(withoutReuse(result)).toEqual(withoutReuse(whole.result));
  });

  it("stops when it is told to, and leaves nothing open", async () => {
    const stop = new AbortController();
    stop.abort("cancel");
    await expect(run({}, { signal: stop.signal })).rejects.toThrow(Stopped);
  });
});

describe("benchmark.analyze refuses, before any forward pass,", () => {
  async function refusal(input: Partial<BenchmarkAnalyzeInput>): Promise<Problem> {
    const progress: unknown[] = [];
    const error = await run(input, { progress: (report) => progress.push(report) }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(Problem);
    expect(progress).toEqual([]);
    return error;
  }

  it("an sae of another model", async () => {
    const other = { ...lab.saes.get("sae_1")!, id: "sae_x", modelId: "model_b" };
    lab.saes.set("sae_x", other);
    const problem = await refusal({ sae_ids: ["sae_1", "sae_x"] });
    expect(problem.code).toBe("SAE_MODEL_MISMATCH");
    expect(problem.errors[0]?.pointer).toBe("/input/sae_ids/1");
  });

  it("two benchmarks of one name", async () => {
    const problem = await refusal({ benchmarks: [{ dataset_id: "dataset_sums" }, { dataset_id: "dataset_sums" }] });
    expect(problem.code).toBe("SETTINGS_CONTRADICTORY");
    expect(problem.errors[0]?.pointer).toBe("/input/benchmarks/1/name");
  });

  it("a template that asks for a field that a sample lacks", async () => {
    const problem = await refusal({ benchmarks: [{ dataset_id: "dataset_greetings", template: "question_answer" }] });
    expect(problem.code).toBe("DATASET_INVALID");
    expect(problem.detail).toBe('"greetings": row 1 has no field "question"; its fields are text');
  });

  it("a prompt beyond the model's context, with the row", async () => {
    const { contextLength } = lab.language.config;
    await lab.addDataset("dataset_long", "long", [{ text: "a" }, { text: "word ".repeat(contextLength * 2) }]);
    const problem = await refusal({
      benchmarks: [{ dataset_id: "dataset_sums" }, { dataset_id: "dataset_long" }],
      overlong: "refuse",
    });
    expect(problem.code).toBe("CONTEXT_LENGTH_EXCEEDED");
    expect(problem.errors[0]?.pointer).toBe("/input/benchmarks/1");
    expect(problem.detail).toContain('the prompt of row 2 of "long" has');
    expect(problem.detail).toContain('"overlong": "cut"');
  });
});
