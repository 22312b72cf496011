// Builds the application without listening, so that a test can drive it and main.ts can serve it.
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify, { type FastifyBaseLogger, LogController } from "fastify";
import { newId } from "../domain/id.ts";
import type { Platform } from "../platform/platform.ts";
import { readConsole } from "./console-files.ts";
import type { App } from "./context.ts";
import { auth } from "./plugins/auth.ts";
import { browsers } from "./plugins/browsers.ts";
import { idempotency } from "./plugins/idempotency.ts";
import { measurements } from "./plugins/measurements.ts";
import { openapi } from "./plugins/openapi.ts";
import { problems, sendProblem } from "./plugins/problems.ts";
import { rateLimits } from "./plugins/rate-limits.ts";
import { validation } from "./plugins/validation.ts";
import { artifactContentRoutes } from "./routes/artifact-content.ts";
import { artifactRoutes } from "./routes/artifacts.ts";
import { capabilityRoutes } from "./routes/capabilities.ts";
import { chatCompletionRoutes } from "./routes/chat-completions.ts";
import { completionRoutes } from "./routes/completions.ts";
import { consoleRoutes } from "./routes/console.ts";
import { datasetPreviewRoutes } from "./routes/dataset-preview.ts";
import { datasetRoutes } from "./routes/datasets.ts";
import { encodeRoutes } from "./routes/encode.ts";
import { featureRoutes } from "./routes/features.ts";
import { healthRoutes } from "./routes/health.ts";
import { jobActionRoutes } from "./routes/job-actions.ts";
import { jobEventRoutes } from "./routes/job-events.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { keyRoutes } from "./routes/keys.ts";
import { labelRoutes } from "./routes/labels.ts";
import { landingRoutes, problemPageRoutes } from "./routes/landing.ts";
import { modelRoutes } from "./routes/models.ts";
import { saeReleaseRoutes } from "./routes/sae-releases.ts";
import { saeRoutes } from "./routes/saes.ts";
import { secretRoutes } from "./routes/secrets.ts";
import { templateRoutes } from "./routes/templates.ts";
import { variantRoutes } from "./routes/variants.ts";

interface Parts {
  readonly platform: Platform;
  /** Where the built console lies; without a build in it `/` is a plain page of links. */
  readonly consoleFolder?: string | undefined;
}

export async function buildApp({ platform, consoleFolder }: Parts): Promise<App> {
  const app: App = Fastify({
    loggerInstance: platform.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: "requestId" }),
    bodyLimit: platform.config.BODY_LIMIT_BYTES,
    trustProxy: platform.config.TRUST_PROXY,
    requestIdHeader: false,
    genReqId: (request) => requestId(request.headers["x-request-id"]),
    // A path that cannot be decoded never reaches the error handler.
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply),
    // Streams end by their own abort signals; idle keep-alive connections must not hold a shutdown up.
    forceCloseConnections: "idle",
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.decorate("platform", platform);
  app.decorate("closing", new AbortController());
  app.addHook("preClose", async () => app.closing.abort());
  // A connection that falls idle while the server closes would hold it up for the whole keep-alive time.
  app.addHook("onResponse", async (request) => {
    if (app.closing.signal.aborted) request.raw.socket.destroySoon();
  });

  await app.register(problems);
  await app.register(validation);
  await app.register(openapi);
  await app.register(measurements);
  await app.register(browsers);
  await app.register(auth);
  await app.register(rateLimits);
  await app.register(idempotency);

  const files = readConsole(consoleFolder);
  if (files === null) await app.register(landingRoutes);
  else await app.register(consoleRoutes, { files });
  await app.register(problemPageRoutes);
  await app.register(healthRoutes);
  await app.register(capabilityRoutes);
  await app.register(modelRoutes);
  await app.register(saeRoutes);
  await app.register(saeReleaseRoutes);
  await app.register(featureRoutes);
  await app.register(labelRoutes);
  await app.register(variantRoutes);
  await app.register(encodeRoutes);
  await app.register(datasetRoutes);
  await app.register(datasetPreviewRoutes);
  await app.register(templateRoutes);
  await app.register(jobRoutes);
  await app.register(jobActionRoutes);
  await app.register(jobEventRoutes);
  await app.register(artifactRoutes);
  await app.register(artifactContentRoutes);
  await app.register(completionRoutes);
  await app.register(chatCompletionRoutes);
  await app.register(keyRoutes);
  await app.register(secretRoutes);
  return app;
}

function requestId(given: string | string[] | undefined): string {
  return typeof given === "string" && /^[\w.:-]{1,128}$/.test(given) ? given : newId("request");
}
