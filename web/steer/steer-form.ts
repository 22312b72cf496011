// What the Steer page's form holds, and the parts of the API's bodies that it stands for.
import type { CreateChatCompletion, CreateCompletion } from "../../domain/completion.ts";
import type { Edit, Steering, SteeringOp, SteeringUnit } from "../../domain/steering.ts";

export type PromptScope = "all" | "last" | "none";
export type GenerationScope = "all" | "none" | "window";

export interface EditForm {
  /** {sae}:{index} */
  readonly feature: string;
  readonly op: SteeringOp;
  readonly value: number;
  readonly unit: SteeringUnit;
  readonly prompt: PromptScope;
  readonly generation: GenerationScope;
  readonly from: number;
  /** null: open */
  readonly to: number | null;
  /** {sae}:{index}; empty: no gate */
  readonly gate: string;
  readonly above: number;
}

export interface SteerForm {
  readonly model: string;
  readonly mode: "raw" | "chat";
  readonly system: string;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
  readonly control: boolean;
  readonly edits: readonly EditForm[];
}

export const emptyEdit: EditForm = {
  feature: "",
  op: "add",
  value: 1,
  unit: "residual_norm",
  prompt: "all",
  generation: "none",
  from: 0,
  to: null,
  gate: "",
  above: 0,
};

export const emptyForm: SteerForm = {
  model: "",
  mode: "raw",
  system: "",
  prompt: "",
  maxTokens: 48,
  temperature: 0,
  seed: 0,
  control: false,
  edits: [emptyEdit],
};

interface OpWords {
  readonly title: string;
  readonly units: readonly SteeringUnit[];
  /** Bounds of the slider by unit; null: the op takes no value. */
  readonly range: Partial<Record<SteeringUnit | "none", readonly [number, number]>> | null;
  readonly means: string;
}

/** The laws of domain/steering.ts as a form shows them; the server has the last word. */
export const opWords: Readonly<Record<SteeringOp, OpWords>> = {
  add: {
    title: "Add",
    units: ["residual_norm", "max_activation", "absolute"],
    range: { residual_norm: [-3, 3], max_activation: [-3, 3], absolute: [-50, 50] },
    means: "moves every chosen token along the feature's direction",
  },
  set: {
    title: "Set",
    units: ["max_activation", "absolute"],
    range: { max_activation: [0, 3], absolute: [0, 50] },
    means: "makes the feature exactly this active",
  },
  scale: { title: "Scale", units: [], range: { none: [0, 5] }, means: "multiplies what the feature does already" },
  ablate: { title: "Ablate", units: [], range: null, means: "switches the feature off" },
  project_out: {
    title: "Project out",
    units: [],
    range: { none: [0, 2] },
    means: "removes whatever lies along the feature's direction",
  },
};

export const unitWords: Readonly<Record<SteeringUnit, string>> = {
  residual_norm: "× residual norm",
  max_activation: "× maximum activation",
  absolute: "activation",
};

/** Another op may not take this unit, or this value: both become what it does take. */
export function withOp(edit: EditForm, op: SteeringOp): EditForm {
  const { units } = opWords[op];
  const unit = units.includes(edit.unit) ? edit.unit : (units[0] ?? edit.unit);
  return withValue({ ...edit, op, unit }, op === "scale" || op === "project_out" ? 1 : edit.value);
}

export function rangeOf({ op, unit }: EditForm): readonly [number, number] | null {
  const { range, units } = opWords[op];
  return range?.[units.length > 0 ? unit : "none"] ?? null;
}

/** Kept within the slider. */
export function withValue(edit: EditForm, value: number): EditForm {
  const range = rangeOf(edit);
  return { ...edit, value: range ? Math.min(range[1], Math.max(range[0], value)) : value };
}

function editOf(form: EditForm): Edit {
  const { units, range } = opWords[form.op];
  const generation =
    form.generation === "window"
      ? { from: form.from, ...(form.to === null ? {} : { to: form.to }) }
      : form.generation === "all";
  return {
    feature: form.feature.trim(),
    op: form.op,
    ...(range === null ? {} : { value: form.value }),
    ...(units.length === 0 ? {} : { unit: form.unit }),
    apply: { prompt: form.prompt === "last" ? [-1] : form.prompt === "all", generation },
    ...(form.gate.trim() === "" ? {} : { when: { feature: form.gate.trim(), above: form.above } }),
  };
}

/** Edits without a feature are being filled in: they are left out. */
export function editsOf(form: SteerForm): Edit[] {
  return form.edits.filter(({ feature }) => feature.trim() !== "").map(editOf);
}

/** null: nothing to steer with. */
export function steeringOf(form: SteerForm): Steering | null {
  const edits = editsOf(form);
  if (edits.length === 0) return null;
  return { edits, include_baseline: true, ...(form.control ? { control: "random_feature" } : {}) };
}

export type SteerRequest =
  | { readonly path: "/v1/completions"; readonly body: CreateCompletion }
  | { readonly path: "/v1/chat/completions"; readonly body: CreateChatCompletion };

export function requestOf(form: SteerForm): SteerRequest {
  const steering = steeringOf(form);
  const shared = {
    model: form.model,
    max_tokens: form.maxTokens,
    temperature: form.temperature,
    seed: form.seed,
    ...(steering ? { steering } : {}),
  };
  if (form.mode === "raw") return { path: "/v1/completions", body: { prompt: form.prompt, ...shared } };
  const system = form.system.trim() === "" ? [] : [{ role: "system" as const, content: form.system }];
  const messages = [...system, { role: "user" as const, content: form.prompt }];
  return { path: "/v1/chat/completions", body: { messages, ...shared } };
}

/** What stands in the way of sending, or null. */
export function missingFrom(form: SteerForm): string | null {
  if (form.model === "") return "Choose a model.";
  if (form.prompt === "") return "Write a prompt.";
  const wrong = form.edits.findIndex(
    ({ feature }) => feature.trim() !== "" && !/^[^:]{1,128}:\d{1,9}$/.test(feature.trim()),
  );
  if (wrong >= 0) return `Edit ${wrong + 1}: name the feature as {sae}:{index}.`;
  const nowhere = form.edits.findIndex(
    (edit) => edit.feature !== "" && edit.prompt === "none" && edit.generation === "none",
  );
  return nowhere >= 0 ? `Edit ${nowhere + 1} touches neither prompt nor answer.` : null;
}

/** An edit as saved in a variant, back in the form; null for raw vectors and selections that the form has no field for. */
export function formOfEdit(edit: Edit): EditForm | null {
  const { prompt = true, generation = true } = edit.apply ?? {};
  const scope = typeof prompt === "boolean" ? (prompt ? "all" : "none") : isLast(prompt) ? "last" : null;
  if (edit.feature === undefined || scope === null) return null;
  const window = typeof generation === "boolean" ? null : generation;
  const [from, to] = window === null ? [0, null] : Array.isArray(window) ? window : [window.from, window.to ?? null];
  return {
    feature: edit.feature,
    op: edit.op,
    value: edit.value ?? (edit.op === "project_out" ? 1 : 0),
    unit: edit.unit ?? "absolute",
    prompt: scope,
    generation: window ? "window" : generation ? "all" : "none",
    from: from ?? 0,
    to: to ?? null,
    gate: edit.when?.feature ?? "",
    above: edit.when?.above ?? 0,
  };
}

function isLast(prompt: readonly unknown[]): boolean {
  return prompt.length === 1 && prompt[0] === -1;
}
