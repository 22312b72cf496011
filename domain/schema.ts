// Small words for writing schemas, and the one place where a value is checked against one.
import { type Static, type TProperties, type TSchema, Type } from "typebox";
import { Compile, type Validator } from "typebox/compile";
import { Value } from "typebox/value";
import { type FieldError, Problem } from "./problem.ts";

/** An object that refuses properties it does not know. Every request body is made of these. */
export function closed<P extends TProperties>(properties: P, options: Record<string, unknown> = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

export function nullable<S extends TSchema>(schema: S) {
  return Type.Union([schema, Type.Null()]);
}

/** The examples that a schema carries, for the document. */
export function examplesOf(schema: TSchema): readonly unknown[] {
  return (schema as { examples?: readonly unknown[] }).examples ?? [];
}

/** One of a few words. */
export function oneOf<const V extends readonly string[]>(values: V, options: Record<string, unknown> = {}) {
  return Type.Unsafe<V[number]>({ type: "string", enum: [...values], ...options });
}

export const Timestamp = Type.String({ format: "date-time", description: "RFC 3339, UTC" });

/** The names people give to models, saes and datasets: unique per workspace. */
export const namePattern = "^[a-z0-9_-][a-z0-9._-]{0,99}$";
export const Name = Type.String({ pattern: namePattern, description: "a-z 0-9 . _ - ; unique in the workspace" });
export const IdOrName = Type.String({ minLength: 1, maxLength: 128, description: "an id, or the name given to it" });

/** An object with keys of the caller's own, each at most so long. */
export function dictionary<S extends TSchema>(value: S, longestKey: number, options: Record<string, unknown> = {}) {
  return Type.Record(Type.String(), value, { propertyNames: { minLength: 1, maxLength: longestKey }, ...options });
}

export const Metadata = dictionary(Type.String({ maxLength: 512 }), 64, {
  maxProperties: 16,
  description: "up to 16 pairs that are yours; keys to 64 characters, values to 512",
});
export type Metadata = Static<typeof Metadata>;

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

const compiled = new WeakMap<object, Validator>();

function validatorOf(schema: TSchema): Validator {
  let validator = compiled.get(schema);
  if (!validator) {
    validator = Compile(schema);
    compiled.set(schema, validator);
  }
  return validator;
}

/** Every violation as a JSON pointer and a sentence; empty when the value fits. */
export function checkSchema(schema: TSchema, value: unknown, at = ""): FieldError[] {
  const validator = validatorOf(schema);
  if (validator.Check(value)) return [];
  return tidy(validator.Errors(value) as RawError[], at);
}

/** The value with the schema's defaults filled in, or a `VALIDATION_FAILED` problem naming each field. */
export function parse<S extends TSchema>(schema: S, value: unknown, at = ""): Static<S> {
  const filled = Value.Default(schema, structuredClone(value));
  const errors = checkSchema(schema, filled, at);
  if (errors.length > 0) throw validationProblem(errors);
  return filled as Static<S>;
}

export function validationProblem(errors: readonly FieldError[]): Problem {
  const first = errors[0];
  const detail = first ? `${first.pointer || "the body"}: ${first.detail}` : "The request does not fit its schema.";
  return new Problem("VALIDATION_FAILED", detail, { errors });
}

interface RawError {
  keyword: string;
  schemaPath: string;
  instancePath: string;
  params: Record<string, unknown>;
  message: string;
}

/** A union reports the failures of all its branches. Keep those of the branch whose `type` word matched, so that
 *  `{"type": "directory"}` is told about its missing path and not about the artifacts it never meant. */
function tidy(raw: readonly RawError[], at: string): FieldError[] {
  const wrongBranches = raw
    .filter((error) => error.keyword === "const" && error.instancePath.endsWith("/type"))
    .map((error) => ({
      branch: error.schemaPath.replace(/\/properties\/type$/, ""),
      value: error.instancePath.replace(/\/type$/, ""),
    }));
  const unions = new Set(wrongBranches.map((wrong) => wrong.branch.replace(/\/anyOf\/\d+$/, "")));
  const relevant = raw.filter((error) => {
    if (error.keyword === "boolean") return false;
    if (error.keyword === "anyOf") return !unions.has(error.schemaPath);
    return !wrongBranches.some((wrong) => error.schemaPath.startsWith(wrong.branch));
  });
  const kept = relevant.length > 0 ? relevant : raw.filter((error) => error.keyword !== "boolean");
  const found = new Map<string, FieldError>();
  for (const error of kept) {
    for (const field of describe(error)) {
      const pointer = at + field.pointer;
      const earlier = found.get(pointer);
      if (!earlier) found.set(pointer, { pointer, detail: field.detail });
      else if (!earlier.detail.includes(field.detail)) earlier.detail += `; or ${field.detail}`;
    }
  }
  return [...found.values()];
}

function describe(error: RawError): FieldError[] {
  const here = error.instancePath;
  const child = (name: string) => `${here}/${escapePointer(name)}`;
  const { params } = error;
  switch (error.keyword) {
    case "required":
      return (params.requiredProperties as string[]).map((name) => ({ pointer: child(name), detail: "is required" }));
    case "additionalProperties":
      return (params.additionalProperties as string[]).map((name) => ({
        pointer: child(name),
        detail: "is not a field of this request",
      }));
    case "const":
      return [{ pointer: here, detail: `must be ${JSON.stringify(params.allowedValue)}` }];
    case "enum":
      return [{ pointer: here, detail: `must be one of ${(params.allowedValues as unknown[]).join(", ")}` }];
    default:
      return [{ pointer: here, detail: error.message }];
  }
}

export function escapePointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
