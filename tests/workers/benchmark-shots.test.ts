import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Problem } from "../../domain/problem.ts";
import { createDiskStore } from "../../platform/artifacts/disk.ts";
import { createBlobs } from "../../workers/blobs.ts";
import { planShots } from "../../workers/jobs/benchmarks/benchmark-shots.ts";
import type { Blobs, JobContext } from "../../workers/jobs/handler.ts";
import type { DatasetRow } from "../../workers/records.ts";
import { openSampleFile, type SampleFile } from "../../workers/sample-file.ts";
import { createLab, SUMS } from "./benchmark-lab.ts";

let folder: string;
let blobs: Blobs;
let test: DatasetRow;
let dev: DatasetRow;
let samples: SampleFile;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "shots-"));
  blobs = createBlobs(await createDiskStore(join(folder, "store")), "workspace_a");
  test = await stored("test", 9);
  dev = await stored("dev", 3);
  samples = await openSampleFile(blobs, test.digest, join(folder, "test.jsonl"));
});
afterAll(async () => {
  await samples.close();
  await rm(folder, { recursive: true, force: true });
});

async function stored(name: string, count: number): Promise<DatasetRow> {
  const lines = Array.from({ length: count }, (_, i) => JSON.stringify({ text: `${name} ${i}?`, answer: i }));
  const { digest } = await blobs.put(Buffer.from(lines.join("\n")));
  return { id: `dataset_${name}`, name, samples: count, digest };
}

function plan(shots: Parameters<typeof planShots>[0]) {
  const catalog = { dataset: async () => dev };
  const context = { blobs, catalog, scratch: folder } as unknown as JobContext;
  return planShots(shots, { dataset: test, samples, index: 2 }, context);
}

const template = "{text} {answer}";

it("without examples a prompt begins with its sample and every sample is measured", async () => {
  expect(await plan(undefined)).toEqual({ prefix: "", rows: new Set() });
});

it("the benchmark's own first rows become examples, and are not measured", async () => {
  const { prefix, rows } = await plan({ count: 2, template, preamble: "Answer." });
  expect(prefix).toBe("Answer.\n\ntest 0? 0\n\ntest 1? 1\n\n");
  expect([...rows]).toEqual([0, 1]);
});

it("examples from another dataset leave the benchmark whole", async () => {
  const { prefix, rows } = await plan({ count: 3, template, dataset_id: dev.id, separator: "\n" });
  expect(prefix).toBe("dev 0? 0\ndev 1? 1\ndev 2? 2\n");
  expect(rows.size).toBe(0);
});

it("a seed draws the same distinct examples each time, and another seed others", async () => {
  const drawn = async (seed: number) => [...(await plan({ count: 4, template, seed })).rows];
  const first = await drawn(1);
  expect(new Set(first).size).toBe(4);
  expect(await drawn(1)).toEqual(first);
  expect([await drawn(2), await drawn(3)]).not.toEqual([first, first]);
});

it("naming the benchmark itself as their source is no way to measure its examples", async () => {
  expect([...(await plan({ count: 1, template, dataset_id: test.id })).rows]).toEqual([0]);
});

it.each([
  [{ count: 9, template }, "SETTINGS_CONTRADICTORY", '"test" has 9 samples; 9 examples and one to measure need 10'],
  [
    { count: 4, template, dataset_id: "dataset_dev" },
    "SETTINGS_CONTRADICTORY",
    '"dev" has 3 samples; 4 examples need 4',
  ],
  [{ count: 2, template: "{reply}" }, "DATASET_INVALID", 'row 1 has no field "reply"'],
])("%j is refused", async (shots, code, detail) => {
  const problem = await plan(shots).then(
    () => null,
    (error: unknown) => error,
  );
  expect(problem).toBeInstanceOf(Problem);
  expect(problem).toMatchObject({ code, detail: expect.stringContaining(detail) });
});

it("an analysis measures every other sample behind the examples, and one without them apart from it", async () => {
  const lab = await createLab();
  try {
    const rows = SUMS.map((question, i) => ({ text: question, question, answer: i }));
    await lab.addDataset("dataset_solved", "solved", rows);
    const benchmark = { dataset_id: "dataset_solved", template: "Q: {question}\nA:" };
    const shots = { count: 2, template: "Q: {question}\nA: {answer}", separator: "\n" };
    const analyse = async (given: object) =>
      (await lab.run({ benchmarks: [{ ...benchmark, ...given }], reuse: true })).result.benchmarks[0]!;
    const prefix = `Q: ${SUMS[0]}\nA: 0\nQ: ${SUMS[1]}\nA: 1\n`;
    const featuresOf = async (prompts: readonly string[]) => {
      const sets = await Promise.all(prompts.map((prompt) => lab.featuresOf(prompt, "sae_1")));
      return new Set(sets.flatMap((set) => [...set])).size;
    };
    const asked = SUMS.map((question) => `Q: ${question}\nA:`);
    const behind = await featuresOf(asked.slice(2).map((prompt) => prefix + prompt));
    expect(await analyse({ shots })).toMatchObject({ samples: 3, features: behind });
    expect(await analyse({})).toMatchObject({ samples: 5, features: await featuresOf(asked) });
    expect(await analyse({ shots })).toMatchObject({ samples: 3, features: behind, reused: true });
  } finally {
    await lab.close();
  }
});
