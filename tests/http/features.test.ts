import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Feature, FeatureDetail, type FeatureDetailsLine, LabelImport } from "../../domain/feature.ts";
import { newId } from "../../domain/id.ts";
import { Page } from "../../domain/page.ts";
import { Sae } from "../../domain/sae.ts";
import type { Model, Sae as SaeRow } from "../../platform/database.ts";
import { testWorkspace } from "../support/platform.ts";
import { expectBody, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let model: Model;
let sae: SaeRow;
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
});
beforeEach(async () => {
  sae = await saeRow(api, model, { width: 32 });
});
afterAll(() => api.close());

const width = 32;
const get = async (query = "", name = sae.name) => await api.admin.get(`/v1/saes/${name}/features${query}`);
const label = (index: number, text: string | null) =>
  api.admin.patch(`/v1/saes/${sae.name}/features/${index}`).send({ label: text });
const labels = (lines: readonly object[], query = "") =>
  api.admin
    .post(`/v1/saes/${sae.name}/labels${query}`)
    .set("content-type", "application/jsonl")
    .send(lines.map((line) => JSON.stringify(line)).join("\n"));
const indices = async (query: string) =>
  ((await get(query)).body.data as { index: number }[]).map((feature) => feature.index);

const details = (index: number): FeatureDetailsLine => ({
  ...{ index, first_position_max: 0.5, histogram: { edges: [1, 2], counts: [3] } },
  examples: [
    { ...{ band: 0, value: 2, quantile: 1, sample: 4, position: 7, at: 0 }, tokens: [{ id: 1, text: "é", value: 2 }] },
  ],
  promoted: [{ id: 5, text: " tea", logit: 2 }],
  suppressed: [{ id: 6, text: "x", logit: -1 }],
  neighbours: [{ index: (index + 1) % width, cosine: 0.5 }],
});

/** As features.index would have left it: feature i fires on i/32 of the tokens, and the first two never. */
async function indexed(): Promise<void> {
  const { platform } = api;
  const { workspaceId } = platform;
  const lines = Array.from({ length: width }, (_, i) => Buffer.from(`${JSON.stringify(details(i))}\n`));
  const artifact = async (name: string, bytes: Uint8Array) => {
    const blob = await platform.store.put(workspaceId, bytes);
    return (await platform.artifacts.create({ workspaceId, name, contentType: "application/jsonl", blob })).id;
  };
  await platform.db.featureIndex.create({
    data: {
      ...{ sae_id: sae.id, dataset_id: newId("dataset"), job_id: newId("job"), tokens: 1000n, sequences: 10n },
      details_artifact_id: await artifact("details.jsonl", Buffer.concat(lines)),
      summary_artifact_id: await artifact("features.parquet", Buffer.from(sae.id)),
    },
  });
  let offset = 0;
  await platform.db.feature.createMany({
    data: lines.map((line, index) => {
      const isActive = index > 1;
      const row = {
        ...{
          sae_id: sae.id,
          index,
          firing_count: BigInt(isActive ? index : 0),
          firing_rate: isActive ? index / 32 : 0,
        },
        ...{ mean: 1, mean_when_active: isActive ? 2 : null, max_activation: isActive ? 0.1 * index : 0 },
        ...{
          first_position_rate: 0,
          decoder_norm: 1,
          dense: index > 16,
          register: false,
          top_tokens: [" tea", `t${index}`],
        },
        ...{ details_offset: BigInt(offset), details_length: line.length },
      };
      offset += line.length;
      return row;
    }),
  });
}

test("before the index every feature is listed, with its label and without numbers", async () => {
  await label(3, "Chinese text");
  const response = await get("?limit=5");
  expectBody(Page(Feature, "FeaturePage"), response.body);
  expect(response.body.data.map((one: { id: string }) => one.id)).toEqual([0, 1, 2, 3, 4].map((i) => `${sae.id}:${i}`));
  expect(response.body.data[3]).toMatchObject({ firing_rate: null, label: { text: "Chinese text", source: "human" } });
  expect(await indices("?sort=firing_rate&limit=3")).toEqual([0, 1, 2]);
  expect(await indices("?labelled=true")).toEqual([3]);
  expect(await indices("?labelled=false&limit=4")).toEqual([0, 1, 2, 4]);
  expectBody(FeatureDetail, (await api.admin.get(`/v1/saes/${sae.id}/features/9`)).body);
});

test("pages of every order hold each feature once, and null last", async () => {
  await indexed();
  const { body } = await api.admin.patch(`/v1/saes/${sae.id}/features/0`).send({ label: "silent" });
  expect(body.firing_rate).toBe(0);
  await api.platform.db.feature.updateMany({ where: { sae_id: sae.id, index: 7 }, data: { max_activation: null } });
  const ascending = Array.from({ length: width }, (_, i) => i);
  const orders: [string, number[]][] = [
    ["", ascending],
    ["&order=desc", ascending.toReversed()],
    ["&sort=firing_rate", [...ascending.slice(2).toReversed(), 0, 1]],
    ["&sort=firing_rate&order=asc", ascending],
    [
      "&sort=max_activation",
      [
        ...ascending
          .slice(2)
          .toReversed()
          .filter((i) => i !== 7),
        0,
        1,
        7,
      ],
    ],
    ["&sort=max_activation&order=asc", [...ascending.filter((i) => i !== 7), 7]],
    ["&sort=decoder_norm", ascending],
    ["&labelled=false", ascending.slice(1)],
  ];
  for (const [query, expected] of orders) {
    const seen: number[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const { body: page } = await get(`?limit=7${query}${cursor === "" ? "" : `&cursor=${cursor}`}`);
      seen.push(...page.data.map((feature: { index: number }) => feature.index));
      cursor = page.next_cursor;
      expect(page.has_more).toBe(cursor !== null);
    }
    expect(seen, query).toEqual(expected);
  }
});

test("a cursor belongs to the order it was made in", async () => {
  const { next_cursor } = (await get("?limit=2")).body;
  expectProblem(await get(`?sort=firing_rate&cursor=${next_cursor}`), "CURSOR_INVALID", "/cursor");
  expectProblem(await get("?cursor=abc"), "CURSOR_INVALID", "/cursor");
  expectProblem(await get("?sort=relevance"), "SETTINGS_CONTRADICTORY", "/sort");
});

test("labels are found by their words in any form, by words with typos, by a part, and tokens by what is promoted", async () => {
  await indexed();
  await labels([
    { index: 1, label: "Recipes and cooking" },
    { index: 2, label: "English prose" },
    { index: 3, label: "关于天气的中文文本" },
    { index: 4, label: "100% of totals" },
  ]);
  expect(await indices("?query=recipe")).toEqual([1]);
  expect(await indices("?query=cook")).toEqual([1]);
  expect(await indices("?query=recpie")).toEqual([1]);
  expect(await indices("?query=engish")).toEqual([2]);
  expect(await indices(`?query=${encodeURIComponent("天气")}`)).toEqual([3]);
  expect(await indices(`?query=${encodeURIComponent("0% o")}`)).toEqual([4]);
  expect(await indices(`?query=${encodeURIComponent("_")}`)).toEqual([]);
  expect(await indices("?query=t17")).toEqual([17]);
  expect(await indices("?query=Tea&limit=100")).toHaveLength(width);
  expect(await indices("?query=Tea&sort=firing_rate&limit=2")).toEqual([31, 30]);
  expect((await indices("?query=tea&labelled=true")).sort()).toEqual([1, 2, 3, 4]);
  const first = (await get("?query=tea&limit=20")).body;
  const second = (await get(`?query=tea&limit=20&cursor=${first.next_cursor}`)).body;
  expect([...first.data, ...second.data].map((one: { index: number }) => one.index)).toHaveLength(width);
});

test("the better match comes first", async () => {
  await labels([
    { index: 5, label: "weathered wood" },
    { index: 6, label: "feather" },
    { index: 7, label: "the weather" },
  ]);
  expect(await indices("?query=weather")).toEqual([7, 5, 6]);
});

test("half a feature is refused, not cut to a whole one", async () => {
  expectProblem(await api.admin.get(`/v1/saes/${sae.name}/features/1.5`), "VALIDATION_FAILED", "/index");
  expectProblem(await api.admin.get(`/v1/saes/${sae.name}/features?limit=2.5`), "VALIDATION_FAILED", "/limit");
});

test("a feature's detail is its own line of the index, with its neighbours' labels", async () => {
  await indexed();
  await label(10, "tea");
  const response = await api.admin.get(`/v1/saes/${sae.name}/features/9`);
  expectBody(FeatureDetail, response.body);
  const { neighbours, ...line } = details(9);
  expect(response.body).toMatchObject({ ...line, firing_rate: 9 / 32, tokens: 1000, label: null });
  expect(response.body.neighbours).toEqual([{ ...neighbours[0], label: "tea" }]);
});

test("a label is written, changed and removed by hand", async () => {
  expect((await label(4, "  a name ")).body.label).toEqual({ text: "a name", source: "human", score: null });
  expect((await label(4, "another")).body.label.text).toBe("another");
  expect((await label(4, null)).body.label).toBeNull();
  expect((await label(4, null)).status).toBe(200);
  expectProblem(await label(4, " "), "VALIDATION_FAILED", "/label");
  expectProblem(await label(32, "x"), "FEATURE_NOT_FOUND");
  expectProblem(await api.admin.get(`/v1/saes/nothing/features/1`), "SAE_NOT_FOUND");
});

test("exported labels import as they were, into any sae of the width", async () => {
  const lines = [
    { index: 2, label: 'a "quoted" one', source: "model", score: 0.75 },
    { index: 30, label: "标签\tzwei", source: "human", score: null },
  ];
  const imported = await labels([lines[1]!, { index: 2, label: "overtaken by the next line" }, lines[0]!]);
  expectBody(LabelImport, imported.body);
  expect(imported.body).toMatchObject({ imported: 2, kept: 0 });
  const exported = await api.admin.get(`/v1/saes/${sae.name}/labels`);
  expect(exported.headers["content-type"]).toMatch(/^application\/jsonl/);
  const text = exported.body instanceof Buffer ? exported.body.toString() : exported.text;
  expect(
    text
      .trim()
      .split("\n")
      .map((line: string) => JSON.parse(line)),
  ).toEqual(lines);
  expect(
    (
      await labels(
        [
          { index: 2, label: "new" },
          { index: 3, label: "new" },
        ],
        "?replace=false",
      )
    ).body,
  ).toMatchObject({
    ...{ imported: 1, kept: 1 },
  });
  expect((await label(5, "x")).status).toBe(200);
});

test("a wrong line is named, and none of the others is taken", async () => {
  expectProblem(
    await labels([
      { index: 1, label: "good" },
      { index: 99, label: "x" },
    ]),
    "VALIDATION_FAILED",
    "/2/index",
  );
  expectProblem(await labels([{ index: 1, label: "good" }, { index: 2 }]), "VALIDATION_FAILED", "/2/label");
  expectProblem(await labels([{ index: 1, label: "x", colour: 1 }]), "VALIDATION_FAILED", "/1/colour");
  const broken = api.admin.post(`/v1/saes/${sae.name}/labels`).set("content-type", "application/jsonl");
  expectProblem(
    await broken.send('\uFEFF{"index":1,"label":"a byte order mark is no fault"}\n{"index":1'),
    "VALIDATION_FAILED",
    "/2",
  );
  expect(await indices("?labelled=true")).toEqual([]);
});

test("an sae tells of its index, and takes features and artifacts of it along when it is deleted", async () => {
  const before = await api.admin.get(`/v1/saes/${sae.id}`);
  expect(before.body.feature_index).toBeNull();
  await indexed();
  const { body } = await api.admin.get(`/v1/saes/${sae.id}`);
  expectBody(Sae, body);
  expect(body.feature_index).toMatchObject({ tokens: 1000 });
  const listed = (await api.admin.get("/v1/saes?limit=100")).body.data.find((one: { id: string }) => one.id === sae.id);
  expect(listed).toEqual(body);
  const { details_artifact_id } = body.feature_index;
  await api.platform.db.artifact.update({ where: { id: details_artifact_id }, data: { expires_at: new Date(0) } });
  await api.platform.artifacts.collect({ unusedForMs: -1 });
  expect((await api.admin.get(`/v1/saes/${sae.id}/features/3`)).body.examples).toHaveLength(1);
  expect((await api.admin.delete(`/v1/saes/${sae.id}`)).status).toBe(204);
  expect(await api.platform.db.feature.count({ where: { sae_id: sae.id } })).toBe(0);
  expectProblem(await api.admin.get(`/v1/artifacts/${body.feature_index.details_artifact_id}`), "ARTIFACT_NOT_FOUND");
});

test("features are invisible to other workspaces, and labels need the scope to write", async () => {
  const other = await api.as(await testWorkspace(api.platform, "elsewhere"));
  expectProblem(await other.get(`/v1/saes/${sae.id}/features`), "SAE_NOT_FOUND");
  expectProblem(await other.patch(`/v1/saes/${sae.id}/features/1`).send({ label: "x" }), "SAE_NOT_FOUND");
  expectProblem(await other.get(`/v1/saes/${sae.id}/labels`), "SAE_NOT_FOUND");
  const reader = await api.as(api.platform.workspaceId, "read");
  expectProblem(await reader.patch(`/v1/saes/${sae.id}/features/1`).send({ label: "x" }), "SCOPE_INSUFFICIENT");
});
