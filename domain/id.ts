// Ids say what they name and sort by when they were made: prefix, "_", 26 characters of lowercase Crockford base32
// (48 bits of milliseconds, 80 random bits, counted up within one millisecond so that a burst keeps its order).

export const idPrefixes = {
  job: "job",
  model: "model",
  sae: "sae",
  release: "release",
  variant: "variant",
  dataset: "dataset",
  artifact: "artifact",
  key: "key",
  secret: "secret",
  workspace: "workspace",
  request: "req",
  worker: "worker",
  delivery: "delivery",
} as const;
export type IdKind = keyof typeof idPrefixes;

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const mask80 = (1n << 80n) - 1n;
let lastMs = -1;
let lastRandom = 0n;

export function newId(kind: IdKind, nowMs: number = Date.now()): string {
  if (nowMs === lastMs) lastRandom = (lastRandom + 1n) & mask80;
  else lastRandom = random80();
  lastMs = nowMs;
  return `${idPrefixes[kind]}_${encode((BigInt(nowMs) << 80n) | lastRandom, 26)}`;
}

function random80(): bigint {
  let value = 0n;
  for (const byte of crypto.getRandomValues(new Uint8Array(10))) value = (value << 8n) | BigInt(byte);
  return value;
}

function encode(value: bigint, length: number): string {
  let text = "";
  for (let rest = value, i = 0; i < length; i++, rest >>= 5n) text = alphabet[Number(rest & 31n)] + text;
  return text;
}

export function isId(kind: IdKind, value: string): boolean {
  return new RegExp(`^${idPrefixes[kind]}_[${alphabet}]{26}$`).test(value);
}

/** Pattern for schemas, e.g. `Type.String({ pattern: idPattern("job") })`. */
export function idPattern(kind: IdKind): string {
  return `^${idPrefixes[kind]}_[${alphabet}]{26}$`;
}

/** A name may not look like an id, or a lookup by id or name would be ambiguous. */
export function looksLikeId(name: string): boolean {
  return Object.keys(idPrefixes).some((kind) => isId(kind as IdKind, name));
}
