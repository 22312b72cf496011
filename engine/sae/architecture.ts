// What a sparse autoencoder is, whoever trained it. Everything else in this folder makes, reads or measures one of these.

/** How pre-activations become activations. Every rule keeps only what is > 0, so "active" means > 0 everywhere. */
export type ActivationRule =
  /** the k largest of a row, those > 0 among them */
  | { readonly kind: "topk"; readonly k: number }
  /** everything above its feature's own threshold */
  | { readonly kind: "jumprelu"; readonly threshold_F: Float32Array }
  /** everything > 0 */
  | { readonly kind: "relu" };

/**
 * A sparse autoencoder in Qwen-Scope's convention, the only one inside this project: no bias is taken from the input and
 * the input is not normalised. Layouts that do otherwise are folded into it when read.
 *
 *     pre_BF = x_BD · W_enc_FDᵀ + b_enc_F
 *     z_BF   = rule(pre_BF)
 *     x̂_BD   = z_BF · W_dec_FD + b_dec_D
 *
 * float32, row-major. Row f of `W_dec_FD` is the direction of feature f in the units of the residual stream.
 */
export interface SparseAutoencoder {
  readonly dModel: number;
  readonly width: number;
  readonly rule: ActivationRule;
  readonly W_enc_FD: Float32Array;
  readonly b_enc_F: Float32Array;
  readonly W_dec_FD: Float32Array;
  readonly b_dec_D: Float32Array;
}

/** The sae itself when its sizes agree and its numbers are finite; else throws RangeError with the tensor's name, expected and actual. */
export function checkSae(sae: SparseAutoencoder): SparseAutoencoder {
  const { dModel, width, rule } = sae;
  expectSize("d_model", dModel);
  expectSize("width", width);
  expectTensor("W_enc", sae.W_enc_FD, [width, dModel]);
  expectTensor("b_enc", sae.b_enc_F, [width]);
  expectTensor("W_dec", sae.W_dec_FD, [width, dModel]);
  expectTensor("b_dec", sae.b_dec_D, [dModel]);
  checkRule(rule, width);
  return sae;
}

/** Throws RangeError when the rule is none for an sae of this width. */
export function checkRule(rule: ActivationRule, width: number): void {
  if (rule.kind === "topk") {
    expectSize("k", rule.k);
    if (rule.k > width) throw new RangeError(`k must be at most the width ${width}, got ${rule.k}`);
  }
  if (rule.kind === "jumprelu") expectTensor("threshold", rule.threshold_F, [width]);
}

function expectSize(name: string, size: number): void {
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`${name} must be a positive integer, got ${size}`);
}

function expectTensor(name: string, values: Float32Array, shape: readonly number[]): void {
  const length = shape.reduce((product, size) => product * size, 1);
  if (values.length !== length) {
    throw new RangeError(`${name} must have ${length} numbers ([${shape.join(", ")}]), got ${values.length}`);
  }
  expectFinite(name, values, shape.at(-1) ?? 1);
}

/** Throws RangeError naming the first row of `values` that holds NaN or an infinity; rows count from `firstRow`. */
export function expectFinite(name: string, values: Float32Array, rowLength: number, firstRow = 0): void {
  // x − x is 0 for every finite x and NaN for the others: one sum finds them without a branch per number.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! - values[i]!;
  if (sum === 0) return;
  const at = values.findIndex((value) => !Number.isFinite(value));
  throw new RangeError(`${name} must be finite, got ${values[at]} in row ${firstRow + Math.floor(at / rowLength)}`);
}
