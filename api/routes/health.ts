import { Type } from "typebox";
import { oneOf } from "../../domain/schema.ts";
import type { App } from "../context.ts";

const Health = Type.Object({ status: oneOf(["ok", "unavailable"]) }, { title: "Health" });

export async function healthRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.get(
    "/healthz",
    {
      schema: {
        tags: ["service"],
        operationId: "getHealth",
        summary: "Whether the process is alive",
        response: { 200: Health },
      },
    },
    async () => ({ status: "ok" as const }),
  );

  app.get(
    "/readyz",
    {
      schema: {
        tags: ["service"],
        operationId: "getReadiness",
        summary: "Whether the process can serve: the database answers",
        response: { 200: Health, 503: Health },
      },
    },
    async (request, reply) => {
      try {
        await platform.db.$queryRaw`SELECT 1`;
        return { status: "ok" as const };
      } catch (error) {
        request.log.warn({ err: error }, "the database does not answer");
        reply.code(503).header("Retry-After", "5");
        return { status: "unavailable" as const };
      }
    },
  );

  app.get(
    "/metrics",
    {
      schema: {
        tags: ["service"],
        operationId: "getMetrics",
        summary: "Prometheus metrics of this process",
        response: { 200: { description: "metrics", content: { "text/plain": { schema: Type.String() } } } },
      },
    },
    async (_request, reply) => {
      const { contentType, text } = await platform.metrics.print();
      return reply.type(contentType).send(text);
    },
  );
}
