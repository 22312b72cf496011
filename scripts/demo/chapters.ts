// The demonstration, chapter by chapter. Everything that is printed comes from the API's answers.

import manifest from "../../assets/manifest.json" with { type: "json" };
import { type ContrastFeature, contrast } from "./chinese-feature.ts";
import { type BenchmarkReport, printFindings, printHeatMap } from "./heat-map.ts";
import type { ApiClient } from "./http.ts";
import { bold, compact, cyan, dim, green, heading, labelled, line, progressBar, yellow } from "./terminal.ts";

const MODEL = "demo-small";
/** The middle of the model: measured to be where one feature carries the language most cleanly (assets/README.md). */
export const STEERING_LAYER = 3;
const SAE = `demo-small-topk-layer${STEERING_LAYER}`;
/** Multiples of the median residual norm that are tried; the weakest that does it is shown. */
const STRENGTHS = [1, 1.5, 2, 2.5, 3];
const PROMPT = "Yesterday morning, my sister";

interface Completion {
  readonly choices: readonly {
    readonly text: string;
    readonly role_in_experiment?: string;
    readonly steering_report?: { readonly edits: readonly { readonly mean_relative_change?: number }[] };
  }[];
}

export function introduce(): void {
  console.log(`\n${bold("qwen-scope")}  ${dim("sparse autoencoders as tools: steer, train, compare")}\n`);
}

interface Sample {
  readonly text: string;
  readonly language: string;
  readonly kind: string;
  readonly drift: object | null;
}

async function heldOutSamples(api: ApiClient): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const from: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const path = `/v1/datasets/demo-text-heldout/samples?limit=100${from}`;
    const page: { data: Sample[]; next_cursor: string | null } = await api.get(path);
    samples.push(...page.data);
    cursor = page.next_cursor;
  }
  return samples;
}

/** Chapter 1. */
export async function findChinese(api: ApiClient): Promise<ContrastFeature> {
  heading(1, "Which feature means “Chinese”?");
  const prose = (await heldOutSamples(api)).filter((sample) => sample.kind === "prose" && !sample.drift);
  const texts = (language: string) => prose.filter((sample) => sample.language === language).map(({ text }) => text);
  const [chinese, english] = [texts("zh").slice(0, 16), texts("en").slice(0, 16)];
  line(`encoding ${chinese.length} Chinese and ${english.length} English texts with ${SAE}`);
  const ranked = await contrast(api, SAE, chinese, english);
  const share = (value: number) => `${(100 * value).toFixed(1)} %`.padStart(8);
  line(dim("feature   mean activation zh − en   fires on zh tokens   on en tokens"));
  ranked.slice(0, 3).forEach((feature, rank) => {
    const mark = rank === 0 ? green : dim;
    const difference = (feature.positive - feature.negative).toFixed(2).padStart(12);
    line(
      mark(
        `${String(feature.index).padStart(7)}   ${difference}${share(feature.positiveRate).padStart(25)}${share(feature.negativeRate).padStart(15)}`,
      ),
    );
  });
  return ranked[0]!;
}

/** Chapter 2. */
export async function steer(api: ApiClient, feature: ContrastFeature): Promise<void> {
  heading(2, `The same prompt, steered by feature ${feature.index}`);
  const common = { model: MODEL, prompt: PROMPT, max_tokens: 40, temperature: 0 };
  let best: { text: string; control: string; value: number; share: number } | null = null;
  let baseline = "";
  for (const value of STRENGTHS) {
    // On the prompt's last token alone: there a random feature of equal size does not do the same, along the whole prompt it may.
    const apply = { prompt: [-1], generation: false };
    const edits = [{ feature: `${SAE}:${feature.index}`, op: "add", value, unit: "residual_norm", apply }];
    const steering = { edits, include_baseline: true, control: "random_feature" };
    const { choices } = await api.post<Completion>("/v1/completions", { ...common, steering });
    const textOf = (role: string) => choices.find((choice) => choice.role_in_experiment === role)?.text ?? "";
    baseline = textOf("baseline");
    const text = textOf("steered");
    const share = chineseShare(text);
    if (!best || share > best.share + 0.05) best = { text, control: textOf("control"), value, share };
  }
  labelled("prompt", bold(PROMPT));
  labelled("baseline", baseline.trim());
  labelled("random", best!.control.trim());
  labelled("steered", yellow(best!.text.trim()));
  line(
    dim(
      `+ ${best!.value} × the median residual norm along the feature, at layer ${STEERING_LAYER}, on the prompt's last token: ${Math.round(100 * best!.share)} % of the letters are Chinese`,
    ),
  );
  if (best!.share < 0.5 || chineseShare(baseline) > 0.1)
    throw new Error("steering did not turn the English text into Chinese");
}

export function chineseShare(text: string): number {
  const letters = text.match(/\p{L}/gu) ?? [];
  return letters.length === 0 ? 0 : (text.match(/\p{Script=Han}/gu) ?? []).length / letters.length;
}

/** Chapter 3. */
export async function train(api: ApiClient): Promise<void> {
  heading(3, "An sae trained just now");
  const input = {
    model_id: MODEL,
    dataset_id: "demo-text",
    layers: [STEERING_LAYER],
    width: 1024,
    k: 24,
    tokens: 100_000,
    batch_tokens: 1024,
    learning_rate: 2e-3,
    evaluation_tokens: 8192,
  };
  line(
    dim(
      `layer ${STEERING_LAYER}, ${input.width} features, ${input.k} active per token, ${compact(input.tokens)} tokens`,
    ),
  );
  const started = performance.now();
  const bar = progressBar("sae.train");
  const job = await api.job("sae.train", input, bar.show);
  bar.end(`${((performance.now() - started) / 1000).toFixed(1)} s`);
  const [metrics] = (job.metrics as { layers: Record<string, number>[] }).layers;
  const row = (name: string, key: string, digits = 3) => {
    const value = metrics?.[key];
    line(`${name.padEnd(44)}${cyan(value === undefined || value === null ? "–" : Number(value).toFixed(digits))}`);
  };
  line(dim("on text held out of training"));
  row("fraction of variance unexplained", "fraction_variance_unexplained");
  row("active features per token", "l0_per_token", 1);
  row("dead features (share)", "dead_fraction");
  row("cross-entropy, nats per token", "cross_entropy_nats");
  row("cross-entropy with the sae spliced in", "cross_entropy_spliced_nats");
  row("cross-entropy recovered (share)", "cross_entropy_recovered");
}

/** What the first start registers from assets/benchmarks. */
const BENCHMARKS = (manifest.datasets as { name: string; file: string }[])
  .filter(({ file }) => file.startsWith("benchmarks/"))
  .map(({ name }) => name);

/** Chapter 4. */
export async function analyse(api: ApiClient): Promise<void> {
  heading(4, "Do the bundled benchmarks measure different things?");
  const bar = progressBar("benchmark.analyze");
  const input = {
    model_id: MODEL,
    sae_ids: [SAE],
    position: "last",
    benchmarks: BENCHMARKS.map((dataset_id) => ({ dataset_id })),
  };
  const started = performance.now();
  const job = await api.job("benchmark.analyze", input, bar.show);
  bar.end(`${((performance.now() - started) / 1000).toFixed(1)} s`);
  const report = job.result as unknown as BenchmarkReport;
  line();
  printHeatMap(report);
  line();
  printFindings(report);
}
