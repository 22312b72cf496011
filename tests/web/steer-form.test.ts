import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CreateCompletion } from "../../domain/completion.ts";
import { checkSchema } from "../../domain/schema.ts";
import { checkSteering, type Edit, opRules, type SteeringOp, type SteeringUnit } from "../../domain/steering.ts";
import { decodeForm, encodeForm } from "../../web/steer/share-link.ts";
import {
  type EditForm,
  emptyEdit,
  emptyForm,
  formOfEdit,
  missingFrom,
  opWords,
  rangeOf,
  requestOf,
  type SteerForm,
  steeringOf,
  unitWords,
  withOp,
} from "../../web/steer/steer-form.ts";

const ops = Object.keys(opWords) as SteeringOp[];
const units = Object.keys(unitWords) as SteeringUnit[];

/** JSON has one zero. */
const numbers = (min: number, max: number) => fc.double({ min, max, noNaN: true }).map((number) => number + 0);

const anyEdit: fc.Arbitrary<EditForm> = fc
  .record({
    feature: fc.constantFrom("demo:1", "sae_x:20", ""),
    op: fc.constantFrom(...ops),
    value: numbers(-100, 100),
    unit: fc.constantFrom(...units),
    prompt: fc.constantFrom("all" as const, "last" as const, "none" as const),
    generation: fc.constantFrom("all" as const, "none" as const, "window" as const),
    from: fc.nat(20),
    to: fc.option(fc.nat(40)),
    gate: fc.constantFrom("", "demo:7"),
    above: numbers(0, 9),
  })
  .map((edit) => withOp(edit, edit.op));

const anyForm: fc.Arbitrary<SteerForm> = fc.record({
  model: fc.string(),
  mode: fc.constantFrom("raw" as const, "chat" as const),
  system: fc.string({ unit: "grapheme" }),
  prompt: fc.string({ unit: "grapheme" }),
  maxTokens: fc.integer({ min: 1, max: 4096 }),
  temperature: numbers(0, 2),
  seed: fc.nat(),
  control: fc.boolean(),
  edits: fc.array(anyEdit, { minLength: 1, maxLength: 4 }),
});

describe("the form of the Steer page", () => {
  test("has the units of every op that the API has", () => {
    for (const op of ops) expect(new Set(opWords[op].units)).toEqual(new Set(opRules[op].units));
    expect(new Set(ops)).toEqual(new Set(Object.keys(opRules)));
  });

  test("stands for steering that is lawful, and for a body that the API reads", () => {
    fc.assert(
      fc.property(anyForm, (form) => {
        const steering = steeringOf(form);
        if (steering) expect(checkSteering(steering)).toEqual([]);
        const { path, body } = requestOf({ ...form, mode: "raw", model: "m", prompt: "p" });
        expect(path).toBe("/v1/completions");
        expect(checkSchema(CreateCompletion, body)).toEqual([]);
      }),
      { seed: 1 },
    );
  });

  test("an edit that was saved comes back as the form that made it", () => {
    fc.assert(
      fc.property(anyEdit, (edit) => {
        const wire = steeringOf({ ...emptyForm, edits: [{ ...edit, feature: "demo:1" }] })!.edits[0]!;
        const again = formOfEdit(wire)!;
        expect(steeringOf({ ...emptyForm, edits: [again] })!.edits[0]).toEqual(wire);
      }),
      { seed: 2 },
    );
    expect(formOfEdit({ vector: { layer: 1, values: [1] }, op: "add", value: 1 } as Edit)).toBeNull();
    expect(formOfEdit({ feature: "demo:1", op: "ablate", apply: { prompt: [3, 4] } })).toBeNull();
  });

  test("another op keeps the value within its slider and takes only a unit that it has", () => {
    const edit = withOp({ ...emptyEdit, value: -2, unit: "residual_norm" }, "set");
    expect(edit).toMatchObject({ op: "set", unit: "max_activation", value: 0 });
    expect(rangeOf(withOp(edit, "ablate"))).toBeNull();
  });

  test("says what is missing before it is sent", () => {
    expect(missingFrom(emptyForm)).toBe("Choose a model.");
    const ready = { ...emptyForm, model: "m", prompt: "p" };
    expect(missingFrom(ready)).toBeNull();
    expect(missingFrom({ ...ready, edits: [{ ...emptyEdit, feature: "7" }] })).toContain("{sae}:{index}");
    const nowhere = { ...emptyEdit, feature: "demo:7", prompt: "none" as const };
    expect(missingFrom({ ...ready, edits: [nowhere] })).toContain("neither");
  });
});

describe("the link that is shared", () => {
  test("restores every form", () => {
    fc.assert(
      fc.property(anyForm, (form) => {
        expect(decodeForm(encodeForm(form))).toEqual(form);
      }),
      { seed: 3 },
    );
  });

  test("that is damaged is no form, and a field of the wrong kind becomes its default", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const form = decodeForm(text);
        if (form) expect(requestOf(form).body).toBeDefined();
      }),
      { seed: 4 },
    );
    expect(decodeForm("%")).toBeNull();
    const link = (fields: object) => Buffer.from(JSON.stringify(fields)).toString("base64url");
    const odd = { prompt: 5, seed: "x", mode: "no", edits: [{ op: "explode", value: null }, 3] };
    expect(decodeForm(link(odd))).toEqual(emptyForm);
  });
});
