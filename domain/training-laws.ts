// Laws of a training's settings, and the defaults that depend on other settings.
import { fieldProblem, type Problem } from "./problem.ts";
import type { Architecture } from "./sae.ts";
import type { SaeTrainInput, SaeTrainSettings, SaeVariant } from "./training.ts";

export interface ModelShape {
  readonly layers: number;
  readonly dModel: number;
  readonly vocabSize: number;
  readonly contextLength: number;
}

/** η = 2e-4 / √(F / 2¹⁴), the rule of Gao et al. (2024). */
export function defaultLearningRate(width: number): number {
  return 2e-4 / Math.sqrt(width / 2 ** 14);
}

/** Settings that one architecture alone has, with their defaults. */
const ofArchitecture: Readonly<Record<Architecture, (steps: number) => Partial<SaeTrainSettings>>> = {
  topk: () => ({}),
  batch_topk: () => ({ threshold_beta: 0.99 }),
  jumprelu: (steps) => ({
    start_threshold: 0.001,
    bandwidth: 0.001,
    sparsity_weight: 1,
    sparsity_warmup_steps: Math.min(2000, Math.ceil(steps / 10)),
  }),
  matryoshka_topk: () => ({}),
};

/** Checks the laws and writes the defaults that depend on other settings. `input` has its schema defaults already. */
export function resolveSaeTrain(input: SaeTrainInput, model: ModelShape, at = "/input"): SaeTrainSettings {
  input.layers.forEach((layer, index) => {
    checkLayer(layer, model.layers, `${at}/layers/${index}`);
  });
  const { variants: _, expansion: __, ...settings } = input;
  const architecture = input.architecture ?? "topk";
  const isJumpRelu = architecture === "jumprelu";
  const variants = resolveVariants(input, architecture, model, at);
  const { steps, ...schedule } = resolveSchedule(input, at);
  checkAnnealing(input, variants, steps, at);
  checkFactors(input, at);
  return {
    ...settings,
    ...variants[0]!,
    variants,
    architecture,
    ...schedule,
    ...resolveArchitecture(input, architecture, steps, at),
    seed: input.seed ?? 0,
    context_tokens: Math.min(input.context_tokens ?? 256, model.contextLength),
    buffer_tokens: Math.max(input.buffer_tokens ?? 32_768, schedule.batch_tokens),
    clip_norm: input.clip_norm ?? 1,
    adam_beta1: input.adam_beta1 ?? (isJumpRelu ? 0 : 0.9),
    adam_beta2: input.adam_beta2 ?? 0.999,
    adam_epsilon: input.adam_epsilon ?? 6.25e-10,
    aux_weight: input.aux_weight ?? (isJumpRelu ? 0 : 1 / 32),
    dead_after_tokens: input.dead_after_tokens ?? Math.min(10_000_000, Math.max(1, Math.floor(input.tokens / 5))),
    tied_start: input.tied_start ?? true,
    decoder_bias_start: input.decoder_bias_start ?? "geometric_median",
    median_tokens: input.median_tokens ?? 8192,
    scale_input: input.scale_input ?? true,
    norm_filter: input.norm_filter ?? 10,
    skip_first_position: input.skip_first_position ?? true,
    precision: input.precision ?? "float32",
    spike_factor: input.spike_factor ?? 10,
    on_instability: input.on_instability ?? "roll_back",
    maximum_rollbacks: input.maximum_rollbacks ?? 3,
    holdout_fraction: input.holdout_fraction ?? 0.05,
    evaluation_tokens: input.evaluation_tokens ?? 16_384,
  };
}

type Given = Pick<SaeTrainInput, keyof SaeVariant | "expansion">;

/** What a variant says for itself: said beside the list, it would count for none of them. */
const ofEachVariant = ["width", "expansion", "k", "k_start", "learning_rate", "aux_k", "prefixes"] as const;

function resolveVariants(
  input: SaeTrainInput,
  architecture: Architecture,
  model: ModelShape,
  at: string,
): SaeVariant[] {
  if (input.variants === undefined) return [resolveVariant(input, architecture, model, at)];
  const variants = input.variants.map((one, index) =>
    resolveVariant(one, architecture, model, `${at}/variants/${index}`),
  );
  // Settings that were resolved before have the first variant's beside the list.
  for (const name of ofEachVariant) {
    const ofFirst = name === "expansion" ? undefined : variants[0]![name];
    if (input[name] === undefined || JSON.stringify(input[name]) === JSON.stringify(ofFirst)) continue;
    throw contradiction(`${at}/${name}`, `${name} is given beside variants, each of which has its own`);
  }
  variants.forEach(({ width, k }, index) => {
    const twin = variants.findIndex((other) => other.width === width && other.k === k);
    if (twin === index) return;
    throw contradiction(`${at}/variants/${index}`, `width ${width} and k ${k} are those of variant ${twin} as well`);
  });
  return variants;
}

function resolveVariant(given: Given, architecture: Architecture, model: ModelShape, at: string): SaeVariant {
  const width = resolveWidth(given, model, at);
  const { k } = given;
  if (k === undefined) throw fieldProblem("VALIDATION_FAILED", `${at}/k`, "k must be given");
  if (k > width) throw fieldProblem("K_ABOVE_WIDTH", `${at}/k`, `k is ${k}, the width is ${width}`);
  const kStart = given.k_start ?? k;
  if (kStart < k || kStart > width) {
    throw contradiction(
      `${at}/k_start`,
      `k_start is ${kStart}: it must be at least k (${k}) and at most the width (${width})`,
    );
  }
  if (architecture === "jumprelu" && kStart !== k) {
    throw contradiction(`${at}/k_start`, "jumprelu has no k to anneal; its k is the target of the sparsity loss");
  }
  const { prefixes } = given;
  if (prefixes !== undefined) checkPrefixes(prefixes, width, architecture, `${at}/prefixes`);
  return {
    width,
    k,
    k_start: kStart,
    learning_rate: given.learning_rate ?? defaultLearningRate(width),
    aux_k: Math.min(given.aux_k ?? Math.floor(model.dModel / 2), width),
    ...(prefixes === undefined ? {} : { prefixes }),
  };
}

function resolveWidth({ width, expansion }: Given, { dModel }: ModelShape, at: string): number {
  if (width === undefined && expansion === undefined) {
    throw fieldProblem("VALIDATION_FAILED", `${at}/width`, "width or expansion must be given");
  }
  if (width !== undefined && expansion !== undefined) {
    throw contradiction(`${at}/expansion`, "give width or expansion, not both");
  }
  const features = width ?? Math.round(expansion! * dModel);
  if (features >= 1 && features <= 1_048_576) return features;
  throw contradiction(
    `${at}/expansion`,
    `${expansion} times d_model ${dModel} is ${features}: it must be 1 to 1048576`,
  );
}

function checkPrefixes(prefixes: readonly number[], width: number, architecture: Architecture, pointer: string): void {
  if (architecture !== "matryoshka_topk")
    throw contradiction(pointer, ownedBy("prefixes", "matryoshka_topk", architecture));
  const ascends = prefixes.every((end, index) => end > (prefixes[index - 1] ?? 0));
  if (!ascends || prefixes.at(-1) !== width) {
    throw contradiction(pointer, `prefixes must ascend and end with the width ${width}, got ${prefixes.join(", ")}`);
  }
}

function resolveSchedule(input: SaeTrainInput, at: string) {
  const batch = input.batch_tokens ?? 4096;
  if (input.tokens < batch) {
    throw contradiction(`${at}/tokens`, `tokens (${input.tokens}) is less than one batch (${batch})`);
  }
  const steps = Math.floor(input.tokens / batch);
  const decayFraction = input.decay_fraction ?? 0.2;
  const decay = Math.floor(steps * decayFraction);
  const warmup = input.warmup_steps ?? Math.min(1000, Math.floor(steps / 20), steps - decay);
  if (warmup + decay > steps) {
    const detail = `${warmup} steps of warm-up and ${decay} of decay do not fit into ${steps} steps of ${batch} tokens`;
    throw contradiction(`${at}/warmup_steps`, detail);
  }
  return {
    steps,
    batch_tokens: batch,
    warmup_steps: warmup,
    decay_fraction: decayFraction,
    k_anneal_steps: input.k_anneal_steps ?? 0,
  };
}

function checkAnnealing(input: SaeTrainInput, variants: readonly SaeVariant[], steps: number, at: string): void {
  const anneal = input.k_anneal_steps ?? 0;
  if (anneal > steps) {
    throw contradiction(`${at}/k_anneal_steps`, `k_anneal_steps is ${anneal}, the whole run has ${steps} steps`);
  }
  const falls = variants.some((one) => one.k_start !== one.k);
  if (falls && anneal === 0)
    throw contradiction(`${at}/k_anneal_steps`, "k_start needs steps over which k falls from it");
}

function checkFactors(input: SaeTrainInput, at: string): void {
  const filter = input.norm_filter ?? 10;
  // Below the median it would leave out most rows, and soon all of them.
  if (filter > 0 && filter < 1) {
    const detail = `norm_filter is ${filter}: it must be 0, which keeps all activations, or 1 and more`;
    throw contradiction(`${at}/norm_filter`, detail);
  }
  const spike = input.spike_factor ?? 10;
  if (spike > 0 && spike <= 1) {
    const detail = `spike_factor is ${spike}: it must be 0, which never finds one, or above 1`;
    throw contradiction(`${at}/spike_factor`, detail);
  }
}

/** The architecture's own settings; those of another are refused, since they would do nothing. */
function resolveArchitecture(input: SaeTrainInput, architecture: Architecture, steps: number, at: string) {
  const own = ofArchitecture[architecture](steps);
  for (const [owner, settings] of Object.entries(ofArchitecture)) {
    if (owner === architecture) continue;
    const foreign = Object.keys(settings(steps)).find((name) => input[name as keyof SaeTrainInput] !== undefined);
    if (foreign !== undefined) throw contradiction(`${at}/${foreign}`, ownedBy(foreign, owner, architecture));
  }
  const given = Object.keys(own).filter((name) => input[name as keyof SaeTrainInput] !== undefined);
  return { ...own, ...Object.fromEntries(given.map((name) => [name, input[name as keyof SaeTrainInput]])) };
}

function ownedBy(setting: string, owner: string, architecture: string): string {
  return `${setting} is a setting of ${owner}, the architecture is ${architecture}`;
}

function contradiction(pointer: string, detail: string): Problem {
  return fieldProblem("SETTINGS_CONTRADICTORY", pointer, detail);
}

export function checkLayer(layer: number, count: number, pointer: string): void {
  if (layer < count) return;
  const detail = `layer ${layer} does not exist; the model has layers 0 to ${count - 1}`;
  throw fieldProblem("LAYER_OUT_OF_RANGE", pointer, detail);
}

export interface PlannedSae extends SaeVariant {
  readonly layer: number;
  /** What comes after the run's name. */
  readonly suffix: string;
}

/** Every sae of a run, in the order of its layers, those of one layer in the order of the variants. */
export function plannedSaes({ layers, variants }: Pick<SaeTrainSettings, "layers" | "variants">): PlannedSae[] {
  return layers.flatMap((layer) =>
    variants.map((variant) => {
      const kind = variants.length === 1 ? "" : `-w${variant.width}-k${variant.k}`;
      return { ...variant, layer, suffix: `-layer${layer}${kind}` };
    }),
  );
}
