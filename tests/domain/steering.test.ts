import fc from "fast-check";
import { expect, test } from "vitest";
import { CreateCompletion } from "../../domain/completion.ts";
import { checkSchema } from "../../domain/schema.ts";
import {
  checkGateLayer,
  checkSteering,
  type Edit,
  opRules,
  Steering,
  type SteeringOp,
  type SteeringUnit,
  selectTokens,
  steeringCoefficients,
  steeringOps,
  steeringUnits,
} from "../../domain/steering.ts";

const feature = "sae:7";
const pointers = (edit: object) =>
  checkSteering({ edits: [edit as Edit] }).map((error) => error.pointer.replace("/steering/edits/0", ""));

/** The table of the contract, op by op and unit by unit, independent of the code's own table. */
const allowed: Record<SteeringOp, SteeringUnit[]> = {
  add: ["absolute", "residual_norm", "max_activation"],
  set: ["absolute", "max_activation"],
  scale: [],
  ablate: [],
  project_out: [],
};

test("every op takes exactly the units of the contract", () => {
  for (const op of steeringOps) {
    for (const unit of steeringUnits) {
      const value = op === "ablate" ? {} : { value: 1 };
      const errors = pointers({ feature, op, unit, ...value });
      expect(errors, `${op} ${unit}`).toEqual(allowed[op].includes(unit) ? [] : ["/unit"]);
    }
  }
});

test("a value is needed by add, set and scale, refused by ablate, and 1 for project_out", () => {
  for (const op of ["add", "set", "scale"]) expect(pointers({ feature, op })).toEqual(["/value"]);
  expect(pointers({ feature, op: "ablate", value: 1 })).toEqual(["/value"]);
  expect(pointers({ feature, op: "ablate", value: 0 })).toEqual([]);
  expect(pointers({ feature, op: "project_out" })).toEqual([]);
});

test("a raw vector allows add and project_out only, and no maximum activation", () => {
  const vector = { layer: 0, values: [1, 0] };
  expect(pointers({ vector, op: "add", value: 1 })).toEqual([]);
  expect(pointers({ vector, op: "add", value: 1, unit: "residual_norm" })).toEqual([]);
  expect(pointers({ vector, op: "project_out" })).toEqual([]);
  expect(pointers({ vector, op: "add", value: 1, unit: "max_activation" })).toEqual(["/unit"]);
  for (const op of ["set", "scale"]) expect(pointers({ vector, op, value: 1 })).toEqual(["/op"]);
  expect(pointers({ vector, op: "ablate" })).toEqual(["/op"]);
  expect(pointers({ vector: { layer: 0, values: [0, 0] }, op: "add", value: 1 })).toEqual(["/vector/values"]);
});

test("an edit needs a feature or a vector, and not both", () => {
  expect(pointers({ op: "ablate" })).toEqual([""]);
  expect(pointers({ feature, vector: { layer: 0, values: [1] }, op: "add", value: 1 })).toEqual([""]);
});

test("a random feature cannot stand for a raw vector", () => {
  const edits: Edit[] = [{ vector: { layer: 0, values: [1] }, op: "add", value: 1 }];
  expect(checkSteering({ edits, control: "random_feature" }).map((error) => error.pointer)).toEqual([
    "/steering/control",
  ]);
});

test("a gate may lie at or below its edit's layer, not above", () => {
  checkGateLayer(3, 3, "/when");
  checkGateLayer(3, 0, "/when");
  expect(() => checkGateLayer(3, 4, "/when")).toThrow(expect.objectContaining({ code: "STEERING_INVALID" }));
});

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
const norm = (a: readonly number[]) => Math.sqrt(dot(a, a));

test("the coefficients give the change that the contract's table writes down", () => {
  const number = fc.double({ min: -8, max: 8, noNaN: true });
  const vector = fc.array(number, { minLength: 5, maxLength: 5 });
  fc.assert(
    fc.property(vector, vector, number, number, fc.double({ min: 0.1, max: 50, noNaN: true }), (h, d, z, v, scale) => {
      fc.pre(norm(d) > 0.1);
      const statistics = { directionNorm: norm(d), residualNorm: scale, maxActivation: scale * 2 };
      const hd = dot(h, d);
      const expected: [SteeringOp, SteeringUnit | undefined, number][] = [
        ["add", undefined, v],
        ["add", "residual_norm", (v * scale) / norm(d)],
        ["add", "max_activation", v * scale * 2],
        ["set", "absolute", v - z],
        ["set", "max_activation", v * scale * 2 - z],
        ["scale", undefined, (v - 1) * z],
        ["ablate", undefined, -z],
        ["project_out", undefined, (-v * hd) / dot(d, d)],
      ];
      for (const [op, unit, along] of expected) {
        const { c0, c1, c2 } = steeringCoefficients({ op, unit, value: op === "ablate" ? undefined : v }, statistics);
        expect(c0 + c1 * z + c2 * hd).toBeCloseTo(along, 6);
      }
    }),
  );
});

test("an edit that moves the residual by its median norm moves it exactly so far", () => {
  const d = [3, 4];
  const { c0 } = steeringCoefficients(
    { op: "add", value: -1, unit: "residual_norm" },
    { directionNorm: norm(d), residualNorm: 20, maxActivation: null },
  );
  expect(norm(d.map((x) => x * c0))).toBeCloseTo(20, 12);
});

test("project_out without a value removes the whole component", () => {
  const { c2 } = steeringCoefficients(
    { op: "project_out" },
    { directionNorm: 2, residualNorm: null, maxActivation: null },
  );
  expect(c2).toBe(-0.25);
});

test("a missing statistic is refused with a pointer to the unit", () => {
  const none = { directionNorm: 1, residualNorm: null, maxActivation: null };
  for (const unit of ["residual_norm", "max_activation"] as const) {
    expect(() => steeringCoefficients({ op: "add", value: 1, unit }, none, "/steering/edits/0")).toThrow(
      expect.objectContaining({
        code: "FEATURE_STATISTICS_MISSING",
        errors: [expect.objectContaining({ pointer: "/steering/edits/0/unit" })],
      }),
    );
  }
});

const chosen = (mask: Uint8Array) => [...mask].flatMap((one, i) => (one === 1 ? [i] : []));

test("without apply every prompt token and every token fed back is selected", () => {
  const selection = selectTokens(undefined, { length: 3 }, 5);
  expect(chosen(selection.prompt)).toEqual([0, 1, 2]);
  expect(selection.generation).toEqual({ from: 0, to: 4 });
});

test("positions and half-open ranges select, negatives count from the end", () => {
  const select = (prompt: NonNullable<Edit["apply"]>["prompt"]) =>
    chosen(selectTokens({ prompt: prompt ?? true }, { length: 6 }, 1).prompt);
  expect(select([0, -1])).toEqual([0, 5]);
  expect(select([{ from: 1, to: 3 }])).toEqual([1, 2]);
  expect(select([{ from: -2 }])).toEqual([4, 5]);
  expect(select([0, [2, 5], -1])).toEqual([0, 2, 3, 4, 5]);
  expect(selectTokens({ generation: [1, 3] }, { length: 1 }, 9).generation).toEqual({ from: 1, to: 3 });
  expect(select([{ from: 1, to: -1 }, 5])).toEqual([1, 2, 3, 4, 5]);
  expect(select([{ from: 4, to: 99 }])).toEqual([4, 5]);
});

test("a range selects what a slice of the same numbers selects", () => {
  const index = fc.integer({ min: -12, max: 12 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), index, fc.option(index, { nil: undefined }), (length, from, to) => {
      const expected = Array.from({ length }, (_, i) => i).slice(from, to);
      const range = to === undefined ? { from } : { from, to };
      // One generated token keeps the selection from being empty, which would be refused.
      const { prompt } = selectTokens({ prompt: [range] }, { length }, 2);
      expect(chosen(prompt)).toEqual(expected);
    }),
  );
});

test("special tokens are left out when asked", () => {
  const isSpecial = (position: number) => position === 0;
  const select = (exclude_special: boolean) =>
    chosen(selectTokens({ exclude_special }, { length: 3, isSpecial }, 1).prompt);
  expect(select(true)).toEqual([1, 2]);
  expect(select(false)).toEqual([0, 1, 2]);
});

test("the last sampled token is never fed back, so a selection of it is empty", () => {
  expect(selectTokens({ prompt: false }, { length: 3 }, 2).generation).toEqual({ from: 0, to: 1 });
  for (const apply of [
    { prompt: false, generation: false },
    { prompt: [], generation: false },
    { prompt: [{ from: 2, to: 2 }], generation: { from: 9 } },
    { prompt: false, generation: { from: 1, to: 64 } },
  ]) {
    expect(() => selectTokens(apply, { length: 3 }, 2, "/apply"), JSON.stringify(apply)).toThrow(
      expect.objectContaining({ code: "SELECTION_EMPTY" }),
    );
  }
  expect(() => selectTokens({ prompt: false }, { length: 3 }, 1)).toThrow(
    expect.objectContaining({ code: "SELECTION_EMPTY" }),
  );
});

test("a single position outside of the prompt is refused", () => {
  for (const position of [3, -4]) {
    expect(() => selectTokens({ prompt: [position] }, { length: 3 }, 4)).toThrow(
      expect.objectContaining({ code: "SELECTION_EMPTY" }),
    );
  }
});

test("the description of an edit names every op with its units", () => {
  for (const op of steeringOps) expect(JSON.stringify(Steering)).toContain(`${op}: ${opRules[op].means}`);
});

test("the contract's own example of a steering body is accepted", () => {
  const steering = {
    edits: [
      {
        feature: "sae_ab12:6159",
        op: "add",
        value: -1.0,
        unit: "residual_norm",
        apply: { prompt: true, generation: { from: 0, to: 64 }, exclude_special: true },
        when: { feature: "sae_ab12:77", above: 2.0 },
      },
    ],
    include_baseline: true,
    control: "random_feature",
  };
  expect(checkSchema(CreateCompletion, { model: "m", prompt: "p", steering })).toEqual([]);
  expect(checkSteering(steering as never)).toEqual([]);
});
