import { describe, expect, it } from "vitest";
import type { ActivationRule } from "../../../engine/sae/architecture.ts";
import { createEvaluation } from "../../../engine/sae/metrics.ts";
import { openSae } from "../../../engine/sae/open-sae.ts";
import { measureSpliceCosts, type Splice } from "../../../engine/sae/splice-cost.ts";
import { densify, largestDifference, normals, randomSae } from "./support.ts";

const [D, F, B] = [12, 40, 9];
const x_BD = normals(B * D, 21);

/** Pre-activations by plain loops in float64. */
function preActivations(sae: ReturnType<typeof randomSae>): Float64Array {
  const pre_BF = new Float64Array(B * F);
  for (let b = 0; b < B; b++) {
    for (let f = 0; f < F; f++) {
      let sum = sae.b_enc_F[f]!;
      for (let d = 0; d < D; d++) sum += x_BD[b * D + d]! * sae.W_enc_FD[f * D + d]!;
      pre_BF[b * F + f] = sum;
    }
  }
  return pre_BF;
}

describe("an opened sae", () => {
  const threshold_F = normals(F, 8);
  const rules: ActivationRule[] = [
    { kind: "topk", k: 5 },
    { kind: "topk", k: F },
    { kind: "relu" },
    { kind: "jumprelu", threshold_F },
  ];
  for (const rule of rules) {
    it(`encodes and decodes by its rule (${rule.kind}${rule.kind === "topk" ? ` ${rule.k}` : ""}) as plain loops do`, async () => {
      const sae = randomSae(D, F, rule);
      const opened = await openSae(sae, { microBatchRows: 4 });
      const pre_BF = preActivations(sae);
      const expected = Float32Array.from(pre_BF, (pre, i) => {
        const row = pre_BF.subarray(i - (i % F), i - (i % F) + F);
        const limit = rule.kind === "jumprelu" ? Math.max(0, threshold_F[i % F]!) : 0;
        const rank = rule.kind === "topk" ? row.filter((other) => other > pre).length : 0;
        return pre > limit && (rule.kind !== "topk" || rank < rule.k) ? pre : 0;
      });
      const active = await opened.encode(x_BD);
      expect(largestDifference(densify(active, F), expected)).toBeLessThan(2e-6);
      for (let b = 0; b < B; b++) {
        const values = active.values.subarray(active.offsets[b]!, active.offsets[b + 1]!);
        expect([...values]).toEqual([...values].toSorted((p, q) => q - p));
      }

      const xhat = Float32Array.from({ length: B * D }, (_, i) => {
        let sum = sae.b_dec_D[i % D]!;
        for (let f = 0; f < F; f++) sum += expected[Math.floor(i / D) * F + f]! * sae.W_dec_FD[f * D + (i % D)]!;
        return sum;
      });
      expect(largestDifference(await opened.reconstruct(x_BD), xhat)).toBeLessThan(1e-5);
      await opened.close();
    });
  }

  it("encodes a row to the same bits alone, in a batch, and with any number of threads", async () => {
    const sae = randomSae(160, 512, { kind: "topk", k: 16 });
    const rows = normals(33 * 160, 5);
    const [one, four] = [await openSae(sae, { threads: 1 }), await openSae(sae, { threads: 4, microBatchRows: 8 })];
    const [all, again] = [await one.encode(rows), await four.encode(rows)];
    expect(again).toEqual(all);
    const alone = await four.encode(rows.subarray(32 * 160));
    expect(alone.values).toEqual(all.values.subarray(all.offsets[32]!));
    expect(alone.features).toEqual(all.features.subarray(all.offsets[32]!));
    await one.close();
    await four.close();
  });

  it("gives chosen features their own activations, those that lost the competition too", async () => {
    const opened = await openSae(randomSae(D, F, { kind: "topk", k: 2 }));
    const winners = densify(await opened.encode(x_BD), F);
    const own = opened.ownActivations(x_BD, [...Array(F).keys()]);
    expect(own.filter((z) => z > 0).length).toBeGreaterThan(winners.filter((z) => z > 0).length);
    winners.forEach((z, i) => {
      if (z > 0) expect(own[i]).toBeCloseTo(z, 5);
    });
    await opened.close();
  });

  it("hands out the vectors of a feature, from which its activation follows", async () => {
    const opened = await openSae(randomSae(D, F, { kind: "jumprelu", threshold_F }));
    const { direction, encoder, bias, threshold } = opened.featureVectors(7);
    expect(direction).toEqual(opened.sae.W_dec_FD.slice(7 * D, 8 * D));
    const pre = encoder.reduce((sum, w, d) => sum + w * x_BD[d]!, bias);
    expect(opened.ownActivations(x_BD.subarray(0, D), [7])[0]).toBeCloseTo(pre > threshold ? pre : 0, 5);
    expect(() => opened.featureVectors(F)).toThrow(/feature must be one of 0 … 39, got 40/);
    expect(() => opened.ownActivations(x_BD, [1, -1])).toThrow(/feature must be one of 0 … 39, got -1/);
    await opened.close();
  });

  it("refuses activations that are not finite or not whole rows, and weights of another size", async () => {
    const opened = await openSae(randomSae(D, F, { kind: "topk", k: 3 }));
    await expect(opened.encode(x_BD.with(2 * D, Number.POSITIVE_INFINITY))).rejects.toThrow(
      /finite, got Infinity in row 2/,
    );
    await expect(opened.encode(x_BD.subarray(1))).rejects.toThrow(/rows of 12, got 107 numbers/);
    await opened.close();
    const wrong = { ...randomSae(D, F, { kind: "topk", k: 3 }), b_enc_F: new Float32Array(F - 1) };
    await expect(openSae(wrong)).rejects.toThrow(/b_enc must have 40 numbers \(\[40\]\), got 39/);
  });
});

describe("held-out metrics", () => {
  it("are the definitions, with and without outliers", async () => {
    const opened = await openSae(randomSae(D, F, { kind: "topk", k: 3 }));
    const rows = x_BD.slice();
    // Row 0 is position 0; row 4 is an outlier of 100 times the usual norm.
    for (let i = 4 * D; i < 5 * D; i++) rows[i]! *= 100;
    const position = Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8);
    const evaluation = createEvaluation(opened, { medianNorm: 3.5 });
    await evaluation.add(rows.subarray(0, 3 * D), position.subarray(0, 3));
    await evaluation.add(rows.subarray(3 * D), position.subarray(3));
    const result = evaluation.result();

    const xhat = await opened.reconstruct(rows);
    const unexplained = (kept: number[]) => {
      const mean = Float64Array.from(
        { length: D },
        (_, d) => kept.reduce((sum, b) => sum + rows[b * D + d]!, 0) / kept.length,
      );
      let [error, variance] = [0, 0];
      for (const b of kept) {
        for (let d = 0; d < D; d++) {
          error += (rows[b * D + d]! - xhat[b * D + d]!) ** 2;
          variance += (rows[b * D + d]! - mean[d]!) ** 2;
        }
      }
      return error / variance;
    };
    expect(result.all.rows).toBe(9);
    expect(result.all.fractionVarianceUnexplained).toBeCloseTo(unexplained([0, 1, 2, 3, 4, 5, 6, 7, 8]), 6);
    expect(result.withoutOutliers.rows).toBe(7);
    expect(result.withoutOutliers.fractionVarianceUnexplained).toBeCloseTo(unexplained([1, 2, 3, 5, 6, 7, 8]), 6);

    const dense = densify(await opened.encode(rows), F);
    const largest = Float32Array.from({ length: F }, (_, f) =>
      Math.max(...[1, 2, 3, 5, 6, 7, 8].map((b) => dense[b * F + f]!)),
    );
    expect(result.maxActivation_F).toEqual(largest);
    expect(result.deadFraction).toBe(largest.filter((z) => z === 0).length / F);
    expect(result.withoutOutliers.l0PerRow).toBe(3);
    await opened.close();
  });

  it("count a perfect reconstruction as 0 unexplained and cosine 1", async () => {
    const identity = Float32Array.from({ length: D * 2 * D }, (_, i) => {
      const [f, d] = [Math.floor(i / D), i % D];
      return f === d ? 1 : f === d + D ? -1 : 0;
    });
    const [b_enc_F, b_dec_D] = [new Float32Array(2 * D), new Float32Array(D)];
    const weights = { W_enc_FD: identity, W_dec_FD: identity, b_enc_F, b_dec_D };
    const opened = await openSae({ dModel: D, width: 2 * D, rule: { kind: "relu" }, ...weights });
    const evaluation = createEvaluation(opened, { medianNorm: 1 });
    await evaluation.add(x_BD, new Int32Array(B).fill(1));
    const { all } = evaluation.result();
    expect(all.fractionVarianceUnexplained).toBe(0);
    expect(all.meanCosine).toBeCloseTo(1, 12);
    expect(all.l0PerRow).toBe(D);
    await opened.close();
  });

  it("have nothing to say about no rows", async () => {
    const opened = await openSae(randomSae(D, F, { kind: "topk", k: 3 }));
    expect(() => createEvaluation(opened, { medianNorm: 1 }).result()).toThrow(/there are no rows/);
    await opened.close();
  });

  it("put the cost of splicing between that of zeros and that of nothing", async () => {
    const opened = await openSae(randomSae(D, F, { kind: "topk", k: 3 }));
    // A toy language model: its loss is 1 nat plus the squared distance of what it reads from the true rows.
    const rows_BD = x_BD.slice();
    const outlier = 3;
    for (let d = 0; d < D; d++) rows_BD[outlier * D + d]! *= 1000;
    const position_B = Int32Array.from({ length: B }, (_, b) => b);
    const crossEntropy = async (splice: Splice | null) => {
      const read = splice ? await splice(rows_BD, position_B) : rows_BD;
      return 1 + read.reduce((sum, value, i) => sum + (value - rows_BD[i]!) ** 2, 0);
    };
    const score = async (splices: readonly Splice[]) => {
      const spliced = [];
      for (const splice of splices) {
        const crossEntropyNats = await crossEntropy(splice);
        spliced.push({ crossEntropyNats, divergenceNats: 2 * crossEntropyNats });
      }
      return { clean: await crossEntropy(null), spliced };
    };
    const squares = (left: readonly number[]) =>
      rows_BD.reduce((sum, x, i) => sum + (left.includes(Math.floor(i / D)) ? 0 : x * x), 0);
    const medianNorm = Math.sqrt(squares([outlier]) / (B - 1));
    const { clean, all, withoutOutliers } = await measureSpliceCosts(opened, score, { medianNorm });
    expect(clean).toBe(1);
    expect(all.zeroed / (1 + squares([]))).toBeCloseTo(1, 9);
    expect(withoutOutliers.zeroed).toBeCloseTo(1 + squares([0, outlier]), 9);
    expect(withoutOutliers.spliced).toBeLessThan(all.spliced);
    for (const { spliced, zeroed, recovered } of [all, withoutOutliers])
      expect(recovered).toBeCloseTo((zeroed - spliced) / (zeroed - 1), 12);
    for (const cost of [all, withoutOutliers]) {
      expect(cost.splicedDivergence).toBe(2 * cost.spliced);
      expect(cost.zeroedDivergence).toBe(2 * cost.zeroed);
    }
    await opened.close();
  });
});
