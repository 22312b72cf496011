// Small words for writing schemas, and the one place where a value is checked against one.
import { type Static, type TProperties, type TSchema, Type } from "typebox";
import { Compile, type Validator } from "typebox/compile";
import { Settings } from "typebox/system";
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

// The library stops at 8, of which a union alone makes as many; `tidy` needs them all to find the branch that was meant.
Settings.Set({ maxErrors: 1000 });

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
  if (validator.Check(value)) return unstorable(value, at);
  return tidy(validator.Errors(value) as RawError[], at);
}

/** Text that no database takes: U+0000, and halves of surrogate pairs. */
function unstorable(value: unknown, at: string): FieldError[] {
  if (typeof value === "string") {
    const detail = "must be Unicode text without U+0000 and without half surrogate pairs";
    return value.includes("\0") || !value.isWellFormed() ? [{ pointer: at.toWellFormed(), detail }] : [];
  }
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item, index) => unstorable(item, `${at}/${index}`));
  return Object.entries(value).flatMap(([name, item]) => {
    const here = `${at}/${escapePointer(name)}`;
    return [...unstorable(name, here), ...unstorable(item, here)];
  });
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
 *  `{"type": "directory"}` is told about its missing path and not about the artifacts it never meant; where no branch
 *  has the word, say which words there are. */
function tidy(raw: readonly RawError[], at: string): FieldError[] {
  const words = raw
    .filter((error) => error.keyword === "const" && error.instancePath.endsWith("/type"))
    .map((error) => {
      const branch = error.schemaPath.replace(/\/properties\/type$/, "");
      return { error, branch, union: branch.replace(/\/anyOf\/\d+$/, ""), value: error.instancePath.slice(0, -5) };
    });
  const isWrong = ({ keyword, schemaPath, instancePath }: RawError) =>
    words.some(({ branch, union, value }) =>
      keyword === "anyOf" && schemaPath === union
        ? instancePath === value
        : inside(schemaPath, branch) && inside(instancePath, value),
    );
  const relevant = raw.filter((error) => error.keyword !== "boolean" && !isWrong(error));
  const meant = ({ union, value }: (typeof words)[number]) =>
    relevant.some((error) => inside(error.schemaPath, union) && inside(error.instancePath, value));
  const kept = closestBranches([...relevant, ...words.filter((word) => !meant(word)).map((word) => word.error)]);
  const found = new Map<string, FieldError>();
  for (const error of kept) {
    for (const field of describe(error)) {
      const pointer = at + field.pointer;
      const earlier = found.get(pointer);
      if (!earlier) found.set(pointer, { pointer, detail: field.detail });
      else if (!earlier.detail.includes(field.detail)) earlier.detail += `; or ${field.detail}`;
    }
  }
  // The deepest say most, and OpenAI's errors have room for one only.
  const depth = ({ pointer }: FieldError) => pointer.split("/").length;
  return [...found.values()].sort((a, b) => depth(b) - depth(a));
}

function inside(path: string, whole: string): boolean {
  return path === whole || path.startsWith(`${whole}/`);
}

/** Of each union the failures of the branches that came closest: those of the value's own type, and of them those with
 *  the fewest failures. That a value is not null, or fits no branch, is said only where there is nothing else to say. */
function closestBranches(raw: readonly RawError[]): RawError[] {
  const unions = raw.filter((error) => error.keyword === "anyOf");
  let kept = [...raw];
  // Inner unions first: an outer one counts what is left of them.
  for (const union of unions.toSorted((a, b) => b.schemaPath.length - a.schemaPath.length)) {
    const branches = new Map<string, RawError[]>();
    for (const error of kept) {
      if (!inside(error.schemaPath, `${union.schemaPath}/anyOf`) || !inside(error.instancePath, union.instancePath))
        continue;
      const branch = error.schemaPath.slice(union.schemaPath.length).split("/")[2] ?? "";
      branches.set(branch, [...(branches.get(branch) ?? []), error]);
    }
    const groups = [...branches.values()];
    const isOfOtherType = (error: RawError) => error.keyword === "type" && error.instancePath === union.instancePath;
    const ofType = groups.filter((group) => !group.some(isOfOtherType));
    const fewest = Math.min(...ofType.map((group) => group.length));
    const notNull = groups.filter((group) => !group.every((error) => error.params.type === "null"));
    const closest = ofType.length > 0 ? ofType.filter((group) => group.length === fewest) : notNull;
    if (closest.length === 0) continue;
    const dropped = new Set([union, ...groups.filter((group) => !closest.includes(group)).flat()]);
    kept = kept.filter((error) => !dropped.has(error));
  }
  return kept;
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
