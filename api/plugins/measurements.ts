// One log line and one measurement per answer. Neither carries a body, a query or a key.
import fp from "fastify-plugin";

export const measurements = fp(
  async (app) => {
    app.addHook("onResponse", async (request, reply) => {
      // The route's pattern, not the path: ids would make a label for every resource.
      const route = request.routeOptions.url ?? "(none)";
      const seconds = reply.elapsedTime / 1000;
      const status = String(reply.statusCode);
      app.platform.metrics.httpSeconds.observe({ method: request.method, route, status }, seconds);
      request.log.info(
        {
          method: request.method,
          route,
          status: reply.statusCode,
          seconds,
          workspaceId: request.caller?.workspaceId,
        },
        "answered",
      );
    });
  },
  { name: "measurements" },
);
