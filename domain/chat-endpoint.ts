// A language model elsewhere that a job asks, by the chat interface that most servers speak.
import { type Static, Type } from "typebox";
import { closed } from "./schema.ts";
import { SecretName } from "./secret.ts";

export const ChatEndpoint = closed(
  {
    url: Type.String({
      minLength: 8,
      maxLength: 2000,
      pattern: "^https?://[^/?#@]+([/?#]|$)",
      description:
        "base address, as clients of OpenAI take it; `/chat/completions` is added. No user or password in it: a key is a secret, named",
    }),
    model: Type.String({ minLength: 1, maxLength: 200 }),
    secret: Type.Optional(SecretName),
    temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2, default: 0 })),
    answer_tokens: Type.Optional(
      Type.Integer({
        minimum: 16,
        maximum: 65_536,
        default: 512,
        description: "sent as max_tokens; models that think before they answer need more",
      }),
    ),
    timeout_s: Type.Optional(Type.Integer({ minimum: 1, maximum: 600, default: 120, description: "of one answer" })),
    concurrency: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 32, default: 4, description: "requests at a time" }),
    ),
  },
  { title: "ChatEndpoint", examples: [{ url: "https://api.openai.com/v1", model: "gpt-4o-mini", secret: "openai" }] },
);
export type ChatEndpoint = Static<typeof ChatEndpoint>;

export const ChatPrices = closed(
  {
    input_per_million: Type.Number({ minimum: 0, description: "of a million tokens sent, in any one currency" }),
    output_per_million: Type.Number({ minimum: 0, description: "of a million tokens received" }),
  },
  { title: "ChatPrices" },
);
export type ChatPrices = Static<typeof ChatPrices>;

export const SpendingLimit = closed(
  {
    tokens: Type.Optional(Type.Integer({ minimum: 1, default: 1_000_000, description: "sent and received together" })),
    cost: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: "in the currency of the prices; needs them" })),
  },
  { title: "SpendingLimit", description: "no request is sent that could pass it" },
);
export type SpendingLimit = Static<typeof SpendingLimit>;

/** Where requests go. */
export function chatAddress(url: string): string {
  const [path = url, query] = url.split("?", 2);
  const base = path.replace(/\/+$/, "");
  const address = base.endsWith("/chat/completions") ? base : `${base}/chat/completions`;
  return query === undefined ? address : `${address}?${query}`;
}

export function costOf(tokens: { input: number; output: number }, prices: ChatPrices): number {
  return (tokens.input * prices.input_per_million + tokens.output * prices.output_per_million) / 1e6;
}
