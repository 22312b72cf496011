// What every request knows about its caller, and the words a route uses to say who may call it.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";
import type { Scope } from "../domain/key.ts";
import type { Platform } from "../platform/platform.ts";
import type { IdempotentRequest } from "./plugins/idempotency.ts";

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export interface Caller {
  readonly workspaceId: string;
  /** null when the server runs without keys */
  readonly keyId: string | null;
  readonly scopes: readonly string[];
}

declare module "fastify" {
  interface FastifyInstance {
    platform: Platform;
    /** Aborted when the server closes, so that open streams and waits end. */
    closing: AbortController;
  }
  interface FastifyRequest {
    /** Throws on routes without a scope, which have no caller. */
    caller: Caller;
    idempotent: IdempotentRequest | null;
  }
  interface FastifyContextConfig {
    /** What the key must hold. Every route under /v1 has one; the others are public. */
    scope?: Scope;
    /** The route creates something and honours Idempotency-Key. */
    idempotent?: boolean;
    /** Removes from a stored answer what a replay must not show again. */
    redactReplay?: (body: Record<string, unknown>) => Record<string, unknown>;
    /** Errors in OpenAI's shape instead of problem+json. */
    openAIErrors?: boolean;
  }
}
