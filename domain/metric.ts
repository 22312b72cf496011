// Every metric we report, in one table: it feeds the OpenAPI document, the console and the docs.

export type Direction = "higher_is_better" | "lower_is_better" | "neither";

export interface Metric {
  readonly title: string;
  readonly unit: string;
  readonly direction: Direction;
  readonly definition: string;
}

export const metricTable = {
  fraction_variance_unexplained: {
    title: "Fraction of variance unexplained",
    unit: "fraction",
    direction: "lower_is_better",
    definition: "Σ‖x − x̂‖² / Σ‖x − mean(x)‖² over held-out tokens, without position 0 and without norm outliers",
  },
  fraction_variance_unexplained_all: {
    title: "Fraction of variance unexplained, all tokens",
    unit: "fraction",
    direction: "lower_is_better",
    definition: "the same with position 0 and the norm outliers left in",
  },
  mean_squared_error: {
    title: "Mean squared error",
    unit: "residual units squared",
    direction: "lower_is_better",
    definition: "mean over tokens of ‖x − x̂‖²",
  },
  cosine_similarity: {
    title: "Cosine similarity",
    unit: "fraction",
    direction: "higher_is_better",
    definition: "mean over tokens of x·x̂ / (‖x‖·‖x̂‖)",
  },
  l0_per_token: {
    title: "Active features per token",
    unit: "features",
    direction: "neither",
    definition: "mean over tokens of the number of features above 0",
  },
  cosine_similarity_all: {
    title: "Cosine similarity, all tokens",
    unit: "fraction",
    direction: "higher_is_better",
    definition: "as cosine_similarity, with position 0 and the norm outliers left in",
  },
  l0_per_token_all: {
    title: "Active features per token, all tokens",
    unit: "features",
    direction: "neither",
    definition: "as l0_per_token, with position 0 and the norm outliers left in",
  },
  inactive_fraction: {
    title: "Features never active",
    unit: "fraction",
    direction: "lower_is_better",
    definition: "share of features above 0 on none of the held-out tokens; falls as more are read",
  },
  dense_fraction: {
    title: "Dense features",
    unit: "fraction",
    direction: "lower_is_better",
    definition: "share of features above 0 on more than 10 % of the held-out tokens",
  },
  encoder_decoder_cosine: {
    title: "Encoder–decoder cosine",
    unit: "fraction",
    direction: "neither",
    definition: "mean of cos(W_enc[f], W_dec[f]) over the features that were active on a held-out token",
  },
  dead_fraction: {
    title: "Dead features",
    unit: "fraction",
    direction: "lower_is_better",
    definition: "share of features that fired on no token for dead_after_tokens",
  },
  cross_entropy_nats: {
    title: "Cross-entropy of the model",
    unit: "nats per token",
    direction: "lower_is_better",
    definition: "mean next-token cross-entropy on held-out text, nothing replaced",
  },
  cross_entropy_spliced_nats: {
    title: "Cross-entropy with the sae spliced in",
    unit: "nats per token",
    direction: "lower_is_better",
    definition: "the same with every row of resid_post.n replaced by the sae's reconstruction",
  },
  cross_entropy_spliced_inliers_nats: {
    title: "Cross-entropy with the sae spliced in, without outliers",
    unit: "nats per token",
    direction: "lower_is_better",
    definition: "the same with position 0 and the norm outliers left as they are: training never sees them",
  },
  cross_entropy_ablated_nats: {
    title: "Cross-entropy with the layer zeroed",
    unit: "nats per token",
    direction: "neither",
    definition: "the same with every row of resid_post.n replaced by zeros",
  },
  cross_entropy_ablated_inliers_nats: {
    title: "Cross-entropy with the layer zeroed, without outliers",
    unit: "nats per token",
    direction: "neither",
    definition: "the same with position 0 and the norm outliers left as they are",
  },
  cross_entropy_recovered: {
    title: "Cross-entropy recovered",
    unit: "fraction",
    direction: "higher_is_better",
    definition: "(ablated − spliced) / (ablated − model), every row replaced",
  },
  cross_entropy_recovered_inliers: {
    title: "Cross-entropy recovered, without outliers",
    unit: "fraction",
    direction: "higher_is_better",
    definition: "the same with position 0 and the norm outliers left as they are in all three",
  },
  kl_divergence_spliced_nats: {
    title: "Divergence with the sae spliced in",
    unit: "nats per token",
    direction: "lower_is_better",
    definition:
      "mean KL(p ‖ q) of next-token predictions, p the model's, q with every row replaced by the reconstruction",
  },
  kl_divergence_spliced_inliers_nats: {
    title: "Divergence with the sae spliced in, without outliers",
    unit: "nats per token",
    direction: "lower_is_better",
    definition: "the same with position 0 and the norm outliers left as they are",
  },
  kl_divergence_ablated_nats: {
    title: "Divergence with the layer zeroed",
    unit: "nats per token",
    direction: "neither",
    definition: "the same with every row replaced by zeros",
  },
  kl_divergence_ablated_inliers_nats: {
    title: "Divergence with the layer zeroed, without outliers",
    unit: "nats per token",
    direction: "neither",
    definition: "the same with position 0 and the norm outliers left as they are",
  },
  loss: {
    title: "Training loss",
    unit: "normalised squared error",
    direction: "lower_is_better",
    definition: "reconstruction loss plus aux_weight times the auxiliary loss of the last step",
  },
  tokens_per_second: {
    title: "Activations per second",
    unit: "1/s",
    direction: "higher_is_better",
    definition: "training activations consumed per second of wall clock since the job (re)started",
  },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof metricTable;
