// Reading config.json key by key: every refusal names the key and what was found there.

/** The config asks for something that this engine does not compute, or contradicts itself; the message names the key. */
export class ModelConfigError extends Error {
  override readonly name = "ModelConfigError";
}

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function size(json: Json, key: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (value === undefined) throw new ModelConfigError(`${key} is missing`);
  if (!Number.isSafeInteger(value) || (value as number) < 1) {
    throw new ModelConfigError(`${key} must be a positive integer, got ${JSON.stringify(value)}`);
  }
  return value as number;
}

export function positive(json: Json, key: string, fallback: number): number {
  const value = json[key] ?? fallback;
  if (typeof value !== "number" || !(value > 0))
    throw new ModelConfigError(`${key} must be a positive number, got ${JSON.stringify(value)}`);
  return value;
}

export function flag(json: Json, key: string, fallback: boolean): boolean {
  const value = json[key] ?? fallback;
  if (typeof value !== "boolean")
    throw new ModelConfigError(`${key} must be true or false, got ${JSON.stringify(value)}`);
  return value;
}

/** A token id or a list of them; null and absent are none. */
export function tokenIds(json: Json, key: string): number[] {
  const value = json[key] ?? [];
  const list = Array.isArray(value) ? value : [value];
  if (!list.every((id) => Number.isSafeInteger(id) && id >= 0)) {
    throw new ModelConfigError(`${key} must be a token id or a list of them, got ${JSON.stringify(value)}`);
  }
  return list as number[];
}
