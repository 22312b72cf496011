/** One name for everything that decides a text besides its prompt: equal fingerprints, equal texts. */
import { createHash } from "node:crypto";
import type { CompletionInput, ResolvedEdit, Sequence } from "../domain/request.ts";

export interface FingerprintParts {
  readonly row: { readonly digest: string };
  readonly saes: ReadonlyMap<string, { readonly row: { readonly digest: string } }>;
  readonly input: CompletionInput;
  /** With the statistics that their units were measured in. */
  readonly edits: readonly ResolvedEdit[];
  readonly sequence: Sequence;
  readonly runtime: string;
}

export function fingerprintOf({ row, saes, input, edits, sequence, runtime }: FingerprintParts): string {
  // Ids name rows, digests name contents: the same sae imported twice steers the same way.
  const digests = Object.fromEntries([...saes].map(([id, sae]) => [id, sae.row.digest]));
  const named = canonical(edits, (id) => digests[id] ?? id);
  const { temperature, top_p, top_k, repetition_penalty, stop, max_tokens } = input;
  const decided = [
    row.digest,
    named,
    sequence.role,
    sequence.role === "control" ? input.steering?.control : null,
    sequence.seed,
    { temperature, top_p, top_k, repetition_penalty, stop, max_tokens },
    runtime,
  ];
  return createHash("sha256").update(JSON.stringify(decided)).digest("hex");
}

/** Names in one order: a request's own have been through a database that keeps another one than a batch's lines. */
function canonical(edits: readonly ResolvedEdit[], digestOf: (saeId: string) => string): string {
  return JSON.stringify(edits, (key, value) => {
    if (key === "sae_id") return digestOf(value);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
