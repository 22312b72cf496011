// API keys: what they may do and how they look.
import { type Static, Type } from "typebox";
import { closed, nullable, oneOf, Timestamp } from "./schema.ts";

export const scopes = ["read", "write", "admin"] as const;
export type Scope = (typeof scopes)[number];

/** admin may everything, write may read too. */
export function holdsScope(held: readonly string[], needed: Scope): boolean {
  if (held.includes("admin") || held.includes(needed)) return true;
  return needed === "read" && held.includes("write");
}

export const CreateKey = closed(
  {
    name: Type.String({ minLength: 1, maxLength: 100 }),
    scopes: Type.Array(oneOf(scopes), { minItems: 1, maxItems: 3, uniqueItems: true }),
    workspace: Type.Optional(
      Type.String({
        pattern: "^[a-z0-9_-][a-z0-9._-]{0,63}$",
        description: "its name; created when it does not exist; the caller's own if absent",
      }),
    ),
    expires_at: Type.Optional(nullable(Timestamp)),
  },
  { title: "CreateKey", examples: [{ name: "laptop", scopes: ["read", "write"] }] },
);
export type CreateKey = Static<typeof CreateKey>;

export const Key = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("key"),
    name: Type.String(),
    scopes: Type.Array(oneOf(scopes)),
    workspace: Type.String(),
    prefix: Type.String({ description: "the first characters of the secret, to recognise it" }),
    created_at: Timestamp,
    expires_at: nullable(Timestamp),
    revoked_at: nullable(Timestamp),
    last_used_at: nullable(Timestamp),
    secret: Type.Optional(Type.String({ description: "only in the answer that creates the key" })),
  },
  {
    title: "Key",
    examples: [
      {
        id: "key_01jd5xk0m4q8v7w2r3t5y6z8ah",
        object: "key",
        name: "laptop",
        scopes: ["read", "write"],
        workspace: "default",
        prefix: "qs_8Jx0a",
        created_at: "2026-11-22T12:00:00.000Z",
        expires_at: null,
        revoked_at: null,
        last_used_at: null,
      },
    ],
  },
);
export type Key = Static<typeof Key>;
