// A workspace's keys and tokens for other services. What is written is never read back; jobs name a secret.
import { type Static, Type } from "typebox";
import { closed, Name, Timestamp } from "./schema.ts";

/** What a job's input says instead of a key. */
export const SecretName = Type.String({
  minLength: 1,
  maxLength: 100,
  description: "name of a secret of the workspace",
});

const Hosts = Type.Array(Type.String({ pattern: "^[a-z0-9.:\\[\\]_-]{1,253}$" }), {
  maxItems: 16,
  uniqueItems: true,
  description: "hosts (api.openai.com, or judge.internal:8000) that it may be sent to; none: any host a job names",
});

export const CreateSecret = closed(
  {
    name: Name,
    value: Type.String({
      minLength: 1,
      maxLength: 8192,
      pattern: "^[\\x21-\\x7e]+$",
      description: "never shown again",
    }),
    hosts: Type.Optional(Hosts),
  },
  {
    title: "CreateSecret",
    examples: [{ name: "hub-token", value: "hf_xxxxxxxxxxxx", hosts: ["huggingface.co"] }],
  },
);
export type CreateSecret = Static<typeof CreateSecret>;

export const Secret = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("secret"),
    name: Type.String(),
    hosts: Hosts,
    created_at: Timestamp,
  },
  {
    title: "Secret",
    examples: [
      {
        id: "secret_01jd5xk0m4q8v7w2r3t5y6z8aj",
        object: "secret",
        name: "hub-token",
        hosts: ["huggingface.co"],
        created_at: "2026-11-22T12:00:00.000Z",
      },
    ],
  },
);
export type Secret = Static<typeof Secret>;
