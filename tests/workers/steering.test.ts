import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ResolvedEdit } from "../../domain/request.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { type OpenedSae, openSae } from "../../engine/sae/open-sae.ts";
import { type EngineEdit, normOf, saeIdsOf, toControlEdits, toEngineEdits } from "../../workers/steering.ts";

const dModel = 6;
const width = 10;
const random = createRandom("steering test");
const numbers = (count: number) => Float32Array.from({ length: count }, () => random.normal());

let sae: OpenedSae;
beforeAll(async () => {
  sae = await openSae({
    dModel,
    width,
    rule: { kind: "topk", k: 3 },
    W_enc_FD: numbers(width * dModel),
    b_enc_F: numbers(width),
    W_dec_FD: numbers(width * dModel).fill(0, 3 * dModel, 4 * dModel),
    b_dec_D: numbers(dModel),
  });
});
afterAll(() => sae.close());

const prompt = { length: 5, isSpecial: (position: number) => position === 0 };
const edit = (changes: Partial<ResolvedEdit>): ResolvedEdit => ({
  layer: 2,
  feature: { sae_id: "sae_a", index: 1, layer: 2 },
  vector: null,
  op: "add",
  value: 2,
  unit: null,
  residual_norm: 7,
  max_activation: 5,
  apply: {},
  gate: null,
  ...changes,
});
const engineEdits = (edits: ResolvedEdit[]) => toEngineEdits(edits, new Map([["sae_a", sae]]), prompt, 8);

/** The change of h that the engine's formula gives, in float64. */
function changeOf(one: EngineEdit, h: Float32Array): number[] {
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, d) => sum + value * b[d]!, 0);
  const p = one.encoder ? dot(one.encoder.weight, h) + one.encoder.bias : 0;
  const z = one.encoder && p > one.encoder.threshold ? p : 0;
  const amount = one.c0 + one.c1 * z + one.c2 * dot(h, one.direction);
  return Array.from(one.direction, (value) => amount * value);
}

describe("a request's edits as the engine takes them", () => {
  test("a unit becomes a length along the feature's own direction", () => {
    const [absolute, norm, activation] = engineEdits([
      edit({ unit: "absolute" }),
      edit({ unit: "residual_norm" }),
      edit({ unit: "max_activation" }),
    ]) as [EngineEdit, EngineEdit, EngineEdit];
    const { direction } = sae.featureVectors(1);
    expect(absolute).toMatchObject({ layer: 2, c0: 2, c1: 0, c2: 0, direction });
    expect(norm.c0 * normOf(direction)).toBeCloseTo(2 * 7, 9);
    expect(activation.c0).toBe(10);
  });

  test("set leaves the feature at its value, ablate at nothing, scale at a multiple", () => {
    const h = numbers(dModel);
    const { encoder, bias, direction } = sae.featureVectors(1);
    const z = Math.max(
      0,
      encoder.reduce((sum, value, d) => sum + value * h[d]!, bias),
    );
    const expected = { set: 2 - z, ablate: -z, scale: (2 - 1) * z };
    for (const op of ["set", "ablate", "scale"] as const) {
      const [one] = engineEdits([edit({ op, value: op === "ablate" ? null : 2 })]);
      const wanted = Array.from(direction, (value) => value * expected[op]);
      for (const [d, value] of changeOf(one!, h).entries()) expect(value).toBeCloseTo(wanted[d]!, 4);
    }
  });

  test("a feature beyond the sae's width is refused with the range", () => {
    const beyond = edit({ feature: { sae_id: "sae_a", index: 10, layer: 2 } });
    expect(() => engineEdits([beyond])).toThrow("features 0 to 9");
  });

  test("the saes to open are those of the edits and of their gates, each once", () => {
    const gate = { feature: { sae_id: "sae_b", index: 0, layer: 1 }, above: 1 };
    expect(saeIdsOf([edit({}), edit({ gate }), edit({ feature: null, vector: [1] })])).toEqual(["sae_a", "sae_b"]);
  });
});

describe("the control arm", () => {
  test("names the feature that it drew, whose direction it moves along", () => {
    const drawn = toControlEdits(ops, engineEdits(ops), new Map([["sae_a", sae]]), 11);
    for (const one of drawn) {
      expect(one.drawnFeature).not.toBe(1);
      const own = sae.featureVectors(one.drawnFeature!).direction;
      const dot = own.reduce((sum, value, d) => sum + value * one.direction[d]!, 0);
      expect(dot / (normOf(own) * normOf(one.direction))).toBeCloseTo(1, 5);
    }
  });

  const ops = [
    edit({ op: "add" }),
    edit({ op: "set" }),
    edit({ op: "ablate", value: null }),
    edit({ op: "scale", value: 3 }),
    edit({ op: "project_out", value: null }),
  ];

  test("changes every h by as much as the edit itself, along another direction", () => {
    const edits = engineEdits(ops);
    const controls = toControlEdits(ops, edits, new Map([["sae_a", sae]]), 11);
    for (let round = 0; round < 20; round++) {
      const h = numbers(dModel);
      for (const [index, one] of edits.entries()) {
        const own = changeOf(one, h);
        const control = changeOf(controls[index]!, h);
        expect(Math.hypot(...control)).toBeCloseTo(Math.hypot(...own), 4);
        const cosine = own.reduce((sum, value, d) => sum + value * control[d]!, 0) / (Math.hypot(...own) ** 2 || 1);
        expect(Math.abs(cosine)).toBeLessThan(0.99);
      }
    }
  });

  test("is drawn by the seed, and never from a feature without a direction", () => {
    const edits = engineEdits(ops);
    const saes = new Map([["sae_a", sae]]);
    const directions = (seed: number) => toControlEdits(ops, edits, saes, seed).map((one) => [...one.direction]);
    expect(directions(1)).toEqual(directions(1));
    expect(directions(1)).not.toEqual(directions(2));
    for (let seed = 0; seed < 50; seed++) {
      for (const direction of directions(seed)) expect(direction.every(Number.isFinite)).toBe(true);
    }
  });
});
