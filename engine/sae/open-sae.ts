// An sae ready to be used: encode, decode, and the vectors of single features.

import { openSession } from "../runtime/session.ts";
import { tensor } from "../runtime/tensor.ts";
import { checkSae, expectFinite, type SparseAutoencoder } from "./architecture.ts";
import { preActivationGraph, topKGraph } from "./graphs.ts";
import { expectFinitePreActivations } from "./pre-activations.ts";
import type { RunsOn } from "./workspace.ts";

/**
 * The active features of some rows. Row b has entries `offsets[b] … offsets[b+1] − 1` of `features` and `values`,
 * largest value first, among equals the lower feature; every value is > 0.
 */
export interface SparseRows {
  readonly rows: number;
  readonly offsets: Int32Array;
  readonly features: Int32Array;
  readonly values: Float32Array;
}

/** What steering needs of one feature: z = p where p = encoder·x + bias > threshold, else 0; direction in residual units. */
export interface FeatureVectors {
  readonly direction: Float32Array;
  readonly encoder: Float32Array;
  readonly bias: number;
  readonly threshold: number;
}

export interface OpenedSae {
  readonly sae: SparseAutoencoder;
  /** [B, D] activations to their active features. Throws RangeError naming the row when one is not finite. */
  encode(acts_BD: Float32Array): Promise<SparseRows>;
  /** Activations [B, features.length] of chosen features, each by its own rule, without competition (no top-k). */
  ownActivations(acts_BD: Float32Array, features: readonly number[]): Float32Array;
  /** x̂ = Σ value · direction + b_dec, [B, D]. */
  decode(rows: SparseRows): Float32Array;
  /** decode(encode(x)) */
  reconstruct(acts_BD: Float32Array): Promise<Float32Array>;
  /** Throws RangeError when there is no such feature. */
  featureVectors(feature: number): FeatureVectors;
  close(): Promise<void>;
}

interface OpenOptions extends RunsOn {
  /**
   * Rows per run of the graph: bounds the memory for pre-activations, rows × width × 4 bytes. By default 512, and more where that is
   * below 16 MB: 1024 rows at width 2048 take a tenth less time per row.
   */
  readonly microBatchRows?: number;
}

export async function openSae(sae: SparseAutoencoder, options: OpenOptions = {}): Promise<OpenedSae> {
  checkSae(sae);
  const { dModel, width, rule } = sae;
  const { microBatchRows = Math.max(512, Math.floor(2 ** 22 / width)), ...runsOn } = options;
  const graph = rule.kind === "topk" ? topKGraph(sae, rule.k) : preActivationGraph(sae);
  const session = await openSession(graph, runsOn);
  const weights = {
    W_enc: tensor("float32", sae.W_enc_FD, [width, dModel]),
    b_enc: tensor("float32", sae.b_enc_F),
  };

  /** Runs the graph on `rows` rows; one row is run as two equal ones, since a product with a single row may depend on the threads. */
  async function run(part_BD: Float32Array, rows: number) {
    const padded_BD = rows === 1 ? Float32Array.from([...part_BD, ...part_BD]) : part_BD;
    return session.run({ x: tensor("float32", padded_BD, [Math.max(2, rows), dModel]), ...weights });
  }

  const thresholdOf = (feature: number) => (rule.kind === "jumprelu" ? Math.max(0, rule.threshold_F[feature]!) : 0);

  async function encode(acts_BD: Float32Array): Promise<SparseRows> {
    const rows = rowsOf(acts_BD, dModel);
    expectFinite("activations", acts_BD, dModel);
    const offsets = new Int32Array(rows + 1);
    const features: number[] = [];
    const values: number[] = [];
    for (let start = 0; start < rows; start += microBatchRows) {
      const count = Math.min(microBatchRows, rows - start);
      const found = await run(acts_BD.subarray(start * dModel, (start + count) * dModel), count);
      if (rule.kind === "topk") expectFinitePreActivations(found.sum!, start);
      for (let b = 0; b < count; b++) {
        if (rule.kind === "topk") {
          const z_BK = found.z!.data as Float32Array;
          const features_BK = found.features!.data as Int32Array;
          for (let i = b * rule.k; i < (b + 1) * rule.k && z_BK[i]! > 0; i++) {
            features.push(features_BK[i]!);
            values.push(z_BK[i]!);
          }
        } else {
          const pre_F = (found.pre!.data as Float32Array).subarray(b * width, (b + 1) * width);
          for (const feature of aboveThreshold(pre_F, thresholdOf)) {
            features.push(feature);
            values.push(pre_F[feature]!);
          }
        }
        offsets[start + b + 1] = features.length;
      }
    }
    return { rows, offsets, features: Int32Array.from(features), values: Float32Array.from(values) };
  }

  function decode({ rows, offsets, features, values }: SparseRows): Float32Array {
    const out_BD = new Float32Array(rows * dModel);
    const sum_D = new Float64Array(dModel);
    for (let b = 0; b < rows; b++) {
      sum_D.set(sae.b_dec_D);
      for (let i = offsets[b]!; i < offsets[b + 1]!; i++) {
        const value = values[i]!;
        const row = features[i]! * dModel;
        for (let d = 0; d < dModel; d++) sum_D[d]! += value * sae.W_dec_FD[row + d]!;
      }
      out_BD.set(sum_D, b * dModel);
    }
    return out_BD;
  }

  const expectFeature = (feature: number) => {
    if (!Number.isInteger(feature) || feature < 0 || feature >= width) {
      throw new RangeError(`feature must be one of 0 … ${width - 1}, got ${feature}`);
    }
  };

  return {
    sae,
    encode,
    decode,
    reconstruct: async (acts_BD) => decode(await encode(acts_BD)),
    ownActivations(acts_BD, features) {
      features.forEach(expectFeature);
      const rows = rowsOf(acts_BD, dModel);
      const out = new Float32Array(rows * features.length);
      for (let b = 0; b < rows; b++) {
        for (const [i, feature] of features.entries()) {
          let pre = sae.b_enc_F[feature]!;
          const row = feature * dModel;
          for (let d = 0; d < dModel; d++) pre += acts_BD[b * dModel + d]! * sae.W_enc_FD[row + d]!;
          out[b * features.length + i] = pre > thresholdOf(feature) ? pre : 0;
        }
      }
      return out;
    },
    featureVectors(feature) {
      expectFeature(feature);
      const row = <T extends Float32Array>(matrix: T) => matrix.slice(feature * dModel, (feature + 1) * dModel);
      return {
        direction: row(sae.W_dec_FD),
        encoder: row(sae.W_enc_FD),
        bias: sae.b_enc_F[feature]!,
        threshold: thresholdOf(feature),
      };
    },
    close: () => session.close(),
  };
}

function rowsOf(acts_BD: Float32Array, dModel: number): number {
  const rows = acts_BD.length / dModel;
  if (!Number.isInteger(rows))
    throw new RangeError(`activations must be rows of ${dModel}, got ${acts_BD.length} numbers`);
  return rows;
}

function aboveThreshold(pre_F: Float32Array, thresholdOf: (feature: number) => number): number[] {
  const found: number[] = [];
  for (let f = 0; f < pre_F.length; f++) if (pre_F[f]! > thresholdOf(f)) found.push(f);
  return found.sort((a, b) => pre_F[b]! - pre_F[a]! || a - b);
}
