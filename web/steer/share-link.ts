// The form as a link. It lives behind the "#", which browsers never send: prompts stay out of the server's logs.
import type { SteeringOp, SteeringUnit } from "../../domain/steering.ts";
import {
  type EditForm,
  emptyEdit,
  emptyForm,
  type GenerationScope,
  opWords,
  type SteerForm,
  unitWords,
} from "./steer-form.ts";

/** base64url of the fields that differ from an empty form's. */
export function encodeForm(form: SteerForm): string {
  const edits = form.edits.map((edit) => changed(edit, emptyEdit));
  const json = JSON.stringify({ ...changed(form, emptyForm), edits });
  const bytes = new TextEncoder().encode(json);
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** null: not a link of ours. Whatever a field holds that it cannot hold becomes its default. */
export function decodeForm(text: string): SteerForm | null {
  const fields = parsed(text);
  if (fields === null) return null;
  const edits = Array.isArray(fields.edits) ? fields.edits.slice(0, 64).filter(isRecord).map(editFrom) : [];
  return {
    model: textOr(fields.model, emptyForm.model),
    mode: fields.mode === "chat" ? "chat" : "raw",
    system: textOr(fields.system, emptyForm.system),
    prompt: textOr(fields.prompt, emptyForm.prompt),
    maxTokens: numberOr(fields.maxTokens, emptyForm.maxTokens),
    temperature: numberOr(fields.temperature, emptyForm.temperature),
    seed: numberOr(fields.seed, emptyForm.seed),
    control: fields.control === true,
    edits: edits.length > 0 ? edits : emptyForm.edits,
  };
}

function editFrom(fields: Record<string, unknown>): EditForm {
  const scopes: readonly GenerationScope[] = ["all", "none", "window"];
  return {
    feature: textOr(fields.feature, emptyEdit.feature),
    op: oneOf(fields.op, Object.keys(opWords) as SteeringOp[], emptyEdit.op),
    value: numberOr(fields.value, emptyEdit.value),
    unit: oneOf(fields.unit, Object.keys(unitWords) as SteeringUnit[], emptyEdit.unit),
    prompt: oneOf(fields.prompt, ["all", "last", "none"] as const, emptyEdit.prompt),
    generation: oneOf(fields.generation, scopes, emptyEdit.generation),
    from: numberOr(fields.from, emptyEdit.from),
    to: typeof fields.to === "number" && Number.isFinite(fields.to) ? fields.to : null,
    gate: textOr(fields.gate, emptyEdit.gate),
    above: numberOr(fields.above, emptyEdit.above),
  };
}

function changed<T extends object>(value: T, empty: T): Partial<T> {
  const differs = ([key, field]: [string, unknown]) => field !== (empty as Record<string, unknown>)[key];
  return Object.fromEntries(Object.entries(value).filter(differs)) as Partial<T>;
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const value: unknown = JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0))));
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

function oneOf<T extends string>(value: unknown, values: readonly T[], otherwise: T): T {
  return values.find((one) => one === value) ?? otherwise;
}
