import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import type { ActivationRule, SparseAutoencoder } from "../../../engine/sae/architecture.ts";
import { featureGeometry, rateHistogram } from "../../../engine/sae/feature-table.ts";
import { createEvaluation } from "../../../engine/sae/metrics.ts";
import { openSae } from "../../../engine/sae/open-sae.ts";
import { parseSafetensors } from "../../../formats/safetensors.ts";

const fixtures = new URL("../../fixtures/saes/", import.meta.url).pathname;
const file = parseSafetensors(await readFile(`${fixtures}evaluation.safetensors`));
const expected = JSON.parse(await readFile(`${fixtures}evaluation.json`, "utf8"));
const [rows, D] = file.tensors.get("x")!.shape as [number, number];
const x_BD = file.float32("x");
const position_B = new Int32Array(Uint8Array.from(file.bytesOf("position")).buffer);

function saeOf(kind: ActivationRule["kind"]): SparseAutoencoder {
  const tensor = (name: string) => file.float32(`${kind}.${name}`);
  const rules: Record<ActivationRule["kind"], () => ActivationRule> = {
    topk: () => ({ kind: "topk", k: expected.k }),
    jumprelu: () => ({ kind: "jumprelu", threshold_F: tensor("threshold") }),
    relu: () => ({ kind: "relu" }),
  };
  return {
    dModel: D,
    width: tensor("b_enc").length,
    rule: rules[kind](),
    W_enc_FD: tensor("W_enc"),
    b_enc_F: tensor("b_enc"),
    W_dec_FD: tensor("W_dec"),
    b_dec_D: tensor("b_dec"),
  };
}

function expectClose(actual: Iterable<number>, wanted: readonly number[], digits: number): void {
  const numbers = [...actual];
  expect(numbers).toHaveLength(wanted.length);
  for (const [i, number] of numbers.entries()) expect(number).toBeCloseTo(wanted[i]!, digits);
}

for (const kind of ["topk", "jumprelu", "relu"] as const) {
  it(`the metrics of an sae with the rule ${kind} are those that numpy finds by their definitions`, async () => {
    const sae = saeOf(kind);
    const { medianNorm, normFactor } = expected;
    const opened = await openSae(sae, { threads: 1 });
    const evaluation = createEvaluation(opened, { medianNorm, normFactor });
    // In parts of several sizes: sums go on over all of them.
    for (const [from, to] of [[0, 1] as const, [1, 100] as const, [100, rows] as const]) {
      await evaluation.add(x_BD.slice(from * D, to * D), position_B.slice(from, to));
    }
    const result = evaluation.result();
    await opened.close();
    const wanted = expected[kind];
    for (const part of ["all", "withoutOutliers"] as const) {
      for (const [name, value] of Object.entries(wanted[part] as Record<string, number>)) {
        const found = result[part][name as keyof typeof result.all];
        expect(found / value, `${part}.${name}`).toBeCloseTo(1, 5);
      }
    }
    expect(result.deadFraction).toBe(wanted.deadFraction);
    expect(result.denseFraction).toBe(wanted.denseFraction);
    expectClose(result.firingRate_F, wanted.firingRate, 12);
    expectClose(result.meanActivation_F, wanted.meanActivation, 5);
    expectClose(result.maxActivation_F, wanted.maxActivation, 5);
    expect(rateHistogram(result.firingRate_F, result.withoutOutliers.rows)).toEqual(wanted.rateHistogram);
    const geometry = featureGeometry(sae);
    expectClose(geometry.decoderNorm_F, wanted.decoderNorm, 9);
    expectClose(geometry.encoderDecoderCosine_F, wanted.encoderDecoderCosine, 9);
  });
}

it("the histogram has a bin for every rate that the rows can show, 1 and 1/rows among them", () => {
  const { never, edges, counts } = rateHistogram(Float64Array.of(0, 1 / 1000, 0.1, 0.0999, 1), 1000);
  expect(never).toBe(1);
  expect(edges).toHaveLength(12);
  expect([edges[0], edges.at(-1)]).toEqual([-3, -0.25]);
  expect(counts).toEqual([1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1]);
  expect(rateHistogram(Float64Array.of(1), 1)).toEqual({ never: 0, edges: [0], counts: [1] });
});

it("features without a direction have the cosine 0", () => {
  const sae = { ...saeOf("relu"), W_dec_FD: new Float32Array(24 * D) };
  expect(featureGeometry(sae).encoderDecoderCosine_F.every((cosine) => cosine === 0)).toBe(true);
});
