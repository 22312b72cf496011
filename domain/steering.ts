// Steering: what an edit may say, which edits are lawful, and which numbers they become.
//
// Layers count from 0; resid_post.n is the output of decoder block n. With d the feature's decoder vector, z its
// activation by its own sae's rule and h the residual before any edit of this layer, every op is
//
//   h' = h + Σ_edits mask · gate · (c0 + c1·z + c2·(h·d)) · d
//
// so that the graph needs one formula and the ops are only coefficients (`steeringCoefficients`).
import { type Static, Type } from "typebox";
import { type FieldError, fieldProblem, Problem } from "./problem.ts";
import { FeatureRef } from "./sae.ts";
import { closed, oneOf } from "./schema.ts";

export const steeringOps = ["add", "set", "scale", "ablate", "project_out"] as const;
export type SteeringOp = (typeof steeringOps)[number];
export const steeringUnits = ["absolute", "residual_norm", "max_activation"] as const;
export type SteeringUnit = (typeof steeringUnits)[number];

interface OpRule {
  readonly units: readonly SteeringUnit[];
  readonly value: "required" | "refused" | { readonly default: number };
  /** Whether a raw vector, which has no activation, may be used. */
  readonly vector: boolean;
  readonly means: string;
}

export const opRules: Readonly<Record<SteeringOp, OpRule>> = {
  add: { units: steeringUnits, value: "required", vector: true, means: "h + v·d" },
  set: { units: ["absolute", "max_activation"], value: "required", vector: false, means: "h + (v − z)·d" },
  scale: { units: [], value: "required", vector: false, means: "h + (v − 1)·z·d" },
  ablate: { units: [], value: "refused", vector: false, means: "h − z·d" },
  project_out: { units: [], value: { default: 1 }, vector: true, means: "h − v·(h·d/‖d‖²)·d" },
};

export const maximumEdits = 64;

const TokenRange = closed({
  from: Type.Integer({ description: "first position; negative counts from the end" }),
  to: Type.Optional(Type.Integer({ description: "one past the last; to the end if absent" })),
});
const TokenPair = Type.Array(Type.Integer(), {
  minItems: 2,
  maxItems: 2,
  description: "[from, to], the same half-open range in short",
});
export const PromptSelection = Type.Union(
  [Type.Boolean(), Type.Array(Type.Union([Type.Integer(), TokenRange, TokenPair]), { maxItems: 1024 })],
  { description: 'all, none, or a list of positions and half-open ranges, e.g. [0, [2, 5], {"from": -4}]' },
);
export type PromptSelection = Static<typeof PromptSelection>;
export const GenerationSelection = Type.Union(
  [
    Type.Boolean(),
    closed({
      from: Type.Integer({ minimum: 0 }),
      to: Type.Optional(Type.Integer({ minimum: 0, description: "one past the last; open if absent" })),
    }),
    Type.Array(Type.Integer({ minimum: 0 }), { minItems: 2, maxItems: 2 }),
  ],
  { description: "all, none, or one half-open range: {from, to} or [from, to]" },
);
export type GenerationSelection = Static<typeof GenerationSelection>;

export const Apply = closed(
  {
    prompt: Type.Optional(PromptSelection),
    generation: Type.Optional(GenerationSelection),
    exclude_special: Type.Optional(Type.Boolean({ description: "leave special tokens alone; false if absent" })),
  },
  {
    title: "SteeringApply",
    description:
      "Which tokens are edited; both parts are true if absent. Generation index 0 is the first sampled token when it is fed back, so the first sampled token is steered by prompt edits only and the last one never.",
  },
);
export type Apply = Static<typeof Apply>;

export const RawVector = closed(
  {
    layer: Type.Integer({ minimum: 0 }),
    values: Type.Array(Type.Number({ minimum: -1e6, maximum: 1e6 }), {
      minItems: 1,
      maxItems: 65_536,
      description: "d_model numbers",
    }),
  },
  { title: "SteeringVector" },
);

export const Gate = closed(
  {
    feature: FeatureRef,
    above: Type.Optional(Type.Number({ minimum: 0, description: "0 if absent" })),
  },
  { title: "SteeringGate", description: "The edit acts only on tokens where this feature's activation is above." },
);

export const Edit = closed(
  {
    feature: Type.Optional(FeatureRef),
    vector: Type.Optional(RawVector),
    op: oneOf(steeringOps),
    value: Type.Optional(Type.Number({ minimum: -1e6, maximum: 1e6 })),
    unit: Type.Optional(oneOf(steeringUnits, { description: "absolute if absent" })),
    apply: Type.Optional(Apply),
    when: Type.Optional(Gate),
  },
  {
    title: "SteeringEdit",
    description: `One intervention on one layer; either \`feature\` or \`vector\`. ${steeringOps
      .map((op) => `${op}: ${opRules[op].means}, units: ${opRules[op].units.join(", ") || "none"}`)
      .join(". ")}. residual_norm: v·m_n/‖d‖ for v; max_activation: v·a_f for v.`,
  },
);
export type Edit = Static<typeof Edit>;

export const controls = ["random_feature"] as const;

export const Steering = closed(
  {
    edits: Type.Array(Edit, { minItems: 1, maxItems: maximumEdits }),
    include_baseline: Type.Optional(Type.Boolean({ description: "also return the unsteered text, same seed" })),
    control: Type.Optional(
      oneOf(controls, { description: "also return a text steered by random features with changes of equal size" }),
    ),
  },
  {
    title: "Steering",
    examples: [
      {
        edits: [
          {
            feature: "demo-small-topk-layer3:1655",
            op: "add",
            value: 1,
            unit: "residual_norm",
            apply: { prompt: true, generation: false },
          },
        ],
        include_baseline: true,
      },
    ],
  },
);
export type Steering = Static<typeof Steering>;

/** The laws that need nothing but the edits themselves, as field errors under `at`. */
export function checkSteering(steering: Steering, at = "/steering"): FieldError[] {
  const errors: FieldError[] = [];
  steering.edits.forEach((edit, index) => {
    const here = `${at}/edits/${index}`;
    const rule = opRules[edit.op];
    const refuse = (field: string, detail: string) => errors.push({ pointer: `${here}${field}`, detail });
    if ((edit.feature === undefined) === (edit.vector === undefined)) {
      refuse("", "needs exactly one of feature and vector");
    }
    if (edit.vector && !rule.vector) {
      refuse("/op", `${edit.op} needs a feature's activation; a raw vector allows add and project_out only`);
    }
    if (edit.vector && !edit.vector.values.some((value) => value !== 0)) {
      refuse("/vector/values", "must not be all zero");
    }
    if (edit.unit !== undefined && !rule.units.includes(edit.unit)) {
      refuse("/unit", `${edit.op} takes ${rule.units.length > 0 ? rule.units.join(" or ") : "no unit"}`);
    }
    if (edit.vector && edit.unit === "max_activation") {
      refuse("/unit", "a raw vector has no maximum activation; use absolute or residual_norm");
    }
    if (rule.value === "required" && edit.value === undefined) refuse("/value", `${edit.op} needs a value`);
    // 0 is what the feature is left at: said, it changes nothing.
    if (rule.value === "refused" && (edit.value ?? 0) !== 0) refuse("/value", `${edit.op} takes no value, or 0`);
    if (edit.vector && steering.control !== undefined) {
      errors.push({ pointer: `${at}/control`, detail: `edit ${index} is a raw vector, which has no sae to draw from` });
    }
  });
  return errors;
}

/** A gate is read at its layer before the edit is made: it must not lie above the edit. */
export function checkGateLayer(editLayer: number, gateLayer: number, pointer: string): void {
  if (gateLayer > editLayer) {
    const detail = `the gate reads layer ${gateLayer}, above the edit's layer ${editLayer}`;
    throw fieldProblem("STEERING_INVALID", pointer, detail);
  }
}

export interface EditStatistics {
  /** ‖d‖ */
  readonly directionNorm: number;
  /** m_n, the median residual norm of the layer; null if the import did not measure it */
  readonly residualNorm: number | null;
  /** a_f, the feature's maximum activation; null if it was never indexed */
  readonly maxActivation: number | null;
}

export interface Coefficients {
  readonly c0: number;
  readonly c1: number;
  readonly c2: number;
}

/**
 * The coefficients of one edit in Δh = (c0 + c1·z + c2·(h·d))·d.
 * Throws FEATURE_STATISTICS_MISSING where the unit needs a number that was never measured.
 */
export function steeringCoefficients(
  edit: { readonly op: SteeringOp; readonly value?: number | undefined; readonly unit?: SteeringUnit | undefined },
  statistics: EditStatistics,
  pointer = "",
): Coefficients {
  // The squares of anything shorter vanish in float32.
  if (!(statistics.directionNorm > 1e-12)) {
    const detail = "the direction has length zero, or nearly so: nothing can be moved along it";
    throw fieldProblem("STEERING_INVALID", pointer, detail);
  }
  const rule = opRules[edit.op];
  const value = edit.value ?? (typeof rule.value === "object" ? rule.value.default : 0);
  switch (edit.op) {
    case "add":
      return { c0: value * unitLength(edit.unit ?? "absolute", statistics, pointer), c1: 0, c2: 0 };
    case "set":
      return { c0: value * unitLength(edit.unit ?? "absolute", statistics, pointer), c1: -1, c2: 0 };
    case "scale":
      return { c0: 0, c1: value - 1, c2: 0 };
    case "ablate":
      return { c0: 0, c1: -1, c2: 0 };
    case "project_out":
      return { c0: 0, c1: 0, c2: -value / statistics.directionNorm ** 2 };
  }
}

function unitLength(unit: SteeringUnit, statistics: EditStatistics, pointer: string): number {
  if (unit === "absolute") return 1;
  if (unit === "residual_norm") {
    if (statistics.residualNorm === null) {
      const detail = "the model has no median residual norm for this layer; import the model again";
      throw fieldProblem("FEATURE_STATISTICS_MISSING", `${pointer}/unit`, detail);
    }
    return statistics.residualNorm / statistics.directionNorm;
  }
  if (statistics.maxActivation === null) {
    const detail = "the feature's maximum activation is not known; its sae was never indexed";
    throw fieldProblem("FEATURE_STATISTICS_MISSING", `${pointer}/unit`, detail);
  }
  return statistics.maxActivation;
}

export interface Selection {
  /** One byte per prompt token: 1 where the edit acts. */
  readonly prompt: Uint8Array;
  /** Half-open range of generation indices. Special tokens inside it are left out by the worker if asked for. */
  readonly generation: { readonly from: number; readonly to: number };
  readonly excludeSpecial: boolean;
}

/**
 * The tokens that an edit acts on. Ranges are clamped to the prompt like slices; a single position outside of it is
 * refused. Of `maxTokens` sampled tokens at most maxTokens − 1 are fed back, so that many generation indices exist.
 * Throws SELECTION_EMPTY when nothing is left.
 */
export function selectTokens(
  apply: Apply | undefined,
  prompt: { readonly length: number; readonly isSpecial?: (position: number) => boolean },
  maxTokens: number,
  pointer = "",
): Selection {
  const excludeSpecial = apply?.exclude_special ?? false;
  const mask = new Uint8Array(prompt.length);
  const wanted = apply?.prompt ?? true;
  if (wanted === true) mask.fill(1);
  else if (wanted !== false) {
    wanted.forEach((item, index) => {
      const { from, to } = promptRange(item, prompt.length, `${pointer}/prompt/${index}`);
      if (to > from) mask.fill(1, from, to);
    });
  }
  if (excludeSpecial && prompt.isSpecial) {
    for (let position = 0; position < mask.length; position++) if (prompt.isSpecial(position)) mask[position] = 0;
  }
  const generation = generationRange(apply?.generation ?? true, maxTokens);
  if (!mask.includes(1) && generation.to <= generation.from) {
    const detail = "the edit selects no token of the prompt and none of the generation";
    throw fieldProblem("SELECTION_EMPTY", pointer, detail);
  }
  return { prompt: mask, generation, excludeSpecial };
}

type PromptItem = Exclude<PromptSelection, boolean>[number];

function promptRange(item: PromptItem, length: number, pointer: string) {
  const fromEnd = (position: number) => (position < 0 ? position + length : position);
  if (typeof item === "number") {
    const position = fromEnd(item);
    if (position < 0 || position >= length) {
      throw new Problem("SELECTION_EMPTY", `position ${item} lies outside the prompt of ${length} tokens`, {
        errors: [{ pointer, detail: `the prompt has ${length} tokens` }],
      });
    }
    return { from: position, to: position + 1 };
  }
  const clamp = (position: number) => Math.min(Math.max(fromEnd(position), 0), length);
  const { from, to } = rangeOf(item);
  return { from: clamp(from), to: clamp(to ?? length) };
}

function generationRange(selection: GenerationSelection, maxTokens: number) {
  const fedBack = Math.max(maxTokens - 1, 0);
  if (selection === false) return { from: 0, to: 0 };
  if (selection === true) return { from: 0, to: fedBack };
  const { from, to } = rangeOf(selection);
  return { from: Math.min(from, fedBack), to: Math.min(to ?? fedBack, fedBack) };
}

function rangeOf(range: { from: number; to?: number } | number[]): { from: number; to?: number } {
  if (!Array.isArray(range)) return range;
  const [from = 0, to = 0] = range;
  return { from, to };
}

/** Each steered layer costs a pass over the whole text after its last token, during which nobody else is served. */
export const maximumReportedTokens = 2048;

export const EditReport = Type.Object(
  {
    edit: Type.Integer({ description: "index into steering.edits" }),
    layer: Type.Integer(),
    prompt_tokens: Type.Integer({ description: "prompt tokens touched" }),
    generated_tokens: Type.Integer({ description: "generated tokens touched" }),
    mean_relative_change: Type.Number({ description: "mean of ‖h'−h‖/‖h‖ over the touched tokens; 0 if none" }),
    gate_open_tokens: Type.Union([Type.Integer(), Type.Null()], {
      description: "selected tokens on which the gate opened; null without a gate",
    }),
    in_top_k_tokens: Type.Union([Type.Integer(), Type.Null()], {
      description: `selected tokens on which the feature (in the control arm: the drawn one) was among its sae's top k; null for raw vectors, and in texts of more than ${maximumReportedTokens} tokens (prompt and completion together), where it is not counted`,
    }),
  },
  { title: "SteeringEditReport" },
);

export const SteeringReport = Type.Object(
  {
    edits: Type.Array(EditReport),
    fingerprint: Type.String({
      description:
        "of model, saes, edits, seed, sampling and runtime version: the same fingerprint gives the same text",
    }),
    determinism: oneOf(["exact", "best_effort"], { description: "best_effort on CUDA" }),
  },
  { title: "SteeringReport" },
);
export type SteeringReport = Static<typeof SteeringReport>;
