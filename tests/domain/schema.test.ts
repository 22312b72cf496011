import { expect, test } from "vitest";
import { Artifact, CompleteUpload, CreateArtifact } from "../../domain/artifact.ts";
import {
  ChatCompletion,
  Completion,
  CreateChatCompletion,
  CreateCompletion,
  neutralForCompletions,
  refuseUnsupported,
} from "../../domain/completion.ts";
import { CreateDataset, CreateDatasetFromArtifact, Dataset, DatasetSample } from "../../domain/dataset.ts";
import { CreateJob, Job, JobEvent, jobKindNames, jobKinds } from "../../domain/job.ts";
import { CreateKey, Key } from "../../domain/key.ts";
import { metricTable } from "../../domain/metric.ts";
import { CreateModel, Model } from "../../domain/model.ts";
import { Problem } from "../../domain/problem.ts";
import { EncodeRequest, EncodeResponse, Sae } from "../../domain/sae.ts";
import { checkSchema, examplesOf, parse } from "../../domain/schema.ts";
import { Steering } from "../../domain/steering.ts";

const model = { name: "m", source: { type: "directory", path: "/m" } };

test("an unknown field is refused with a pointer to it, also deep inside", () => {
  expect(checkSchema(CreateModel, { ...model, nam: 1 })).toEqual([
    { pointer: "/nam", detail: "is not a field of this request" },
  ]);
  const deep = { ...model, source: { ...model.source, pat: 1 } };
  expect(checkSchema(CreateModel, deep).map((error) => error.pointer)).toEqual(["/source/pat"]);
});

test("a union whose word fits no branch is told the words", () => {
  const git = { ...model, source: { type: "git", repo: "a/b", revision: "main" } };
  const [error, ...others] = checkSchema(CreateModel, git);
  expect([error!.pointer, others]).toEqual(["/source/type", []]);
  expect(error!.detail.split("; or ").sort()).toEqual(
    ["artifacts", "directory", "hub"].map((word) => `must be "${word}"`),
  );
});

test("text that no database takes is refused, in values and in names", () => {
  const refused = (given: object) =>
    checkSchema(CreateCompletion, { model: "m", ...given }).map(({ pointer }) => pointer);
  expect(refused({ prompt: "a\0b" })).toEqual(["/prompt"]);
  expect(refused({ prompt: ["a", "\ud800"] })).toEqual(["/prompt/1"]);
  expect(refused({ prompt: "a", metadata: { "\0": 1 } })).toEqual(["/metadata/\0"]);
  expect(refused({ prompt: "😀" })).toEqual([]);
});

test("a missing field is named itself, not its parent", () => {
  expect(checkSchema(CreateModel, { source: model.source })).toEqual([{ pointer: "/name", detail: "is required" }]);
});

test("of a union only the branch that was meant is complained about", () => {
  expect(checkSchema(CreateModel, { name: "m", source: { type: "directory" } })).toEqual([
    { pointer: "/source/path", detail: "is required" },
  ]);
  const pointers = checkSchema(CreateModel, { name: "m", source: { type: "artifacts", files: [{ path: "/etc" }] } });
  expect(pointers.map((error) => error.pointer)).toContain("/source/files/0/artifact_id");
  expect(pointers.map((error) => error.pointer)).not.toContain("/source/path");
});

test("of a union without words only the branch that came closest is complained about, the deepest field first", () => {
  const errors = (given: object) => checkSchema(CreateCompletion, { model: "m", prompt: "a", ...given });
  expect(errors({ prompt: [1, -5] })).toEqual([{ pointer: "/prompt/1", detail: "must be >= 0" }]);
  expect(errors({ prompt: 5 })).toEqual([{ pointer: "/prompt", detail: "must be string; or must be array" }]);
  expect(errors({ prompt: "" })).toEqual([{ pointer: "/prompt", detail: "must not have fewer than 1 characters" }]);
  expect(errors({ temperature: "hot" })).toEqual([{ pointer: "/temperature", detail: "must be number" }]);
  const edit = { feature: "x:1", op: "add", value: "b" };
  expect(errors({ nam: 1, steering: { edits: [edit] } }).map(({ pointer }) => pointer)).toEqual([
    "/steering/edits/0/value",
    "/nam",
  ]);
});

test("a word outside of its list is told the list", () => {
  const [error] = checkSchema(CreateModel, { ...model, precision: "int3" });
  expect(error).toEqual({ pointer: "/precision", detail: "must be one of float32, int8, int4" });
});

test("no path of a source leaves its folder", () => {
  const file = (path: string) => ({
    name: "m",
    source: { type: "artifacts", files: [{ path, artifact_id: `artifact_${"0".repeat(26)}` }] },
  });
  for (const path of ["config.json", "a/b.json", "..a/b", "a..b"])
    expect(checkSchema(CreateModel, file(path))).toEqual([]);
  for (const path of ["../x", "a/../x", "/x", "a/..", ".", "a\\b", ""]) {
    expect(checkSchema(CreateModel, file(path)), path).not.toEqual([]);
  }
});

test("parsing fills the defaults and leaves the given value alone", () => {
  const given = { ...model };
  expect(parse(CreateModel, given)).toEqual({ ...model, precision: "float32" });
  expect(given).toEqual(model);
});

test("a parse that fails is a VALIDATION_FAILED problem under the prefix", () => {
  expect(() => parse(CreateModel, { name: "M" }, "/input")).toThrow(Problem);
  try {
    parse(CreateModel, { name: "M", source: model.source }, "/input");
  } catch (error) {
    expect((error as Problem).code).toBe("VALIDATION_FAILED");
    expect((error as Problem).errors[0]?.pointer).toBe("/input/name");
  }
});

test("every job kind has an input example that fits", () => {
  for (const kind of jobKindNames) {
    const examples = examplesOf(jobKinds[kind].input);
    expect(examples.length, kind).toBeGreaterThan(0);
    for (const example of examples) expect(checkSchema(jobKinds[kind].input, example), kind).toEqual([]);
  }
});

test("metadata is 16 pairs of 64 and 512 characters", () => {
  const fits = (metadata: object) => checkSchema(CreateModel, { ...model, metadata }).length === 0;
  const pairs = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, "v"]));
  expect(fits(pairs(16))).toBe(true);
  expect(fits(pairs(17))).toBe(false);
  expect(fits({ ["k".repeat(64)]: "v".repeat(512) })).toBe(true);
  expect(fits({ ["k".repeat(65)]: "v" })).toBe(false);
  expect(fits({ k: "v".repeat(513) })).toBe(false);
  expect(fits({ k: 1 })).toBe(false);
  expect(fits({ "": "v" })).toBe(false);
});

test("the examples of the document fit their schemas", () => {
  const shown = {
    Artifact,
    ChatCompletion,
    Completion,
    CompleteUpload,
    CreateArtifact,
    CreateChatCompletion,
    CreateCompletion,
    CreateDataset,
    CreateDatasetFromArtifact,
    CreateJob,
    CreateKey,
    Dataset,
    DatasetSample,
    EncodeRequest,
    EncodeResponse,
    Job,
    JobEvent,
    Key,
    Model,
    Sae,
    Steering,
  };
  for (const [name, schema] of Object.entries(shown)) {
    expect(examplesOf(schema).length, name).toBeGreaterThan(0);
    for (const example of examplesOf(schema)) expect(checkSchema(schema, example), name).toEqual([]);
  }
});

test("known parameters pass at their neutral values and are refused at others", () => {
  const body = { model: "m", prompt: "p" };
  refuseUnsupported({ ...body, best_of: 1, echo: false, suffix: null, logit_bias: {} }, neutralForCompletions);
  refuseUnsupported({ ...body, n: 3, best_of: 3 }, neutralForCompletions);
  expect(checkSchema(CreateCompletion, { ...body, top_p: 0 })).toEqual([]);
  for (const [name, value] of [
    ["best_of", 3],
    ["echo", true],
    ["suffix", "x"],
    ["presence_penalty", 0.5],
  ] as const) {
    const given = { ...body, [name]: value };
    expect(checkSchema(CreateCompletion, given), name).toEqual([]);
    expect(() => refuseUnsupported(given, neutralForCompletions), name).toThrow(
      expect.objectContaining({
        code: "UNSUPPORTED_PARAMETER",
        errors: [expect.objectContaining({ pointer: `/${name}` })],
      }),
    );
  }
});

test("every metric says what it is, in which unit and which way is better", () => {
  for (const [name, metric] of Object.entries(metricTable)) {
    expect(name).toMatch(/^[a-z0-9]+(_[a-z0-9]+)*$/);
    expect(metric.definition.length, name).toBeGreaterThan(10);
    expect(metric.unit.length, name).toBeGreaterThan(0);
  }
});
