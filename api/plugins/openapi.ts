// The OpenAPI document, made from the routes, and its rendered form at /docs (all files from this server).
import swagger, { type SwaggerTransform } from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import fp from "fastify-plugin";
import type { TSchema } from "typebox";
import { OpenAIError, ProblemDetails } from "../../domain/problem.ts";
import { hoistTitled } from "./openapi-components.ts";
import { apiDescription, tags } from "./openapi-text.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Bodies of a route that reads them itself: media type → schema. */
    documentedBody?: Record<string, TSchema>;
  }
}

export const openapi = fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: "3.1.0",
        info: {
          title: "Qwen-Scope",
          version: "0.1.0",
          description: apiDescription,
          license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        tags,
        components: {
          securitySchemes: {
            key: {
              type: "http",
              scheme: "bearer",
              description: "An API key; not needed where the server runs without keys.",
            },
          },
        },
      },
      transform,
      transformObject: (document) => hoistTitled("openapiObject" in document ? document.openapiObject : {}),
    });
    await app.register(swaggerUi, {
      routePrefix: "/docs",
      uiConfig: { docExpansion: "list", deepLinking: true, tryItOutEnabled: false },
      theme: { title: "Qwen-Scope API" },
      staticCSP: "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'self'",
    });
    app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
  },
  { name: "openapi" },
);

/** Adds to every operation what all of them share: the error body, the key, the headers that requests may carry. */
const transform: SwaggerTransform = ({ schema, url, route }) => {
  const config = route.config ?? {};
  const responses = described(schema?.response as Record<string, ResponseSchema> | undefined);
  const shared: Record<string, unknown> = { ...schema, response: responses };
  const errorSchema = config.openAIErrors ? OpenAIError : ProblemDetails;
  const mediaType = config.openAIErrors ? "application/json" : "application/problem+json";
  if (config.scope !== undefined) {
    shared.security = [{ key: [] }];
    shared.description = [schema?.description, `Scope: \`${config.scope}\`.`].filter(Boolean).join("\n\n");
    shared.response = {
      ...responses,
      default: { description: "a problem", content: { [mediaType]: { schema: errorSchema } } },
    };
  }
  if (config.idempotent) {
    shared.headers = {
      type: "object",
      properties: {
        "Idempotency-Key": {
          type: "string",
          maxLength: 255,
          description: "The same key and request within 24 h give the stored answer instead of a second thing.",
        },
      },
    };
  }
  if (config.documentedBody) {
    shared.body = {
      content: Object.fromEntries(
        Object.entries(config.documentedBody).map(([type, body]) => [type, { schema: body }]),
      ),
    };
  }
  return { schema: shared as typeof schema, url };
};

interface ResponseSchema {
  readonly description?: string;
  readonly content?: object;
}

const meanings: Readonly<Record<string, string>> = {
  200: "done",
  201: "created",
  202: "accepted; it goes on",
  503: "not ready",
};

/** A response says what its status means, not only what its body looks like. */
function described(responses: Record<string, ResponseSchema> = {}): Record<string, object> {
  return Object.fromEntries(
    Object.entries(responses).map(([status, schema]) => {
      if (schema.content !== undefined || meanings[status] === undefined) return [status, schema];
      return [status, { description: meanings[status], content: { "application/json": { schema } } }];
    }),
  );
}
