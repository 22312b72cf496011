import { Capabilities } from "../../domain/capabilities.ts";
import { jobKindNames } from "../../domain/job.ts";
import type { App } from "../context.ts";

/** What a worker's row says of itself; one that registered before a field existed leaves it out. */
interface Ability {
  readonly kinds?: readonly string[];
  readonly threads?: number;
  readonly memory_bytes?: number;
  readonly runtime?: string;
}

export async function capabilityRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.get(
    "/v1/capabilities",
    {
      config: { scope: "read" },
      schema: {
        tags: ["service"],
        operationId: "getCapabilities",
        summary: "What the running workers can do now",
        response: { 200: Capabilities },
      },
    },
    async (request) => {
      const [rows, models] = await Promise.all([
        platform.workers.live(),
        platform.db.model.findMany({
          where: { workspace_id: request.caller.workspaceId },
          select: { id: true, name: true },
          orderBy: { created_at: "asc" },
        }),
      ]);
      const workers = rows.map((row) => {
        const ability = row.capability as Ability;
        return {
          class: row.class as "interactive" | "batch",
          device: row.device as "cpu" | "cuda" | "webgpu",
          threads: ability.threads ?? null,
          memory_bytes: ability.memory_bytes ?? null,
          runtime: ability.runtime ?? null,
          job_kinds: row.class === "batch" ? [...(ability.kinds ?? [])] : [],
          // Of this workspace only: what others run is theirs.
          models: models.filter(({ id }) => row.queues.includes(`interactive.${id}`)).map(({ id }) => id),
          draining: row.draining,
          started_at: row.started_at.toISOString(),
        };
      });
      const taking = workers.filter((worker) => !worker.draining);
      const serving = (id: string) => taking.filter((worker) => worker.models.includes(id)).length;
      return {
        object: "capabilities" as const,
        job_kinds: Object.fromEntries(
          jobKindNames.map((kind) => [kind, taking.some((worker) => worker.job_kinds.includes(kind))]),
        ),
        served_models: models
          .map(({ id, name }) => ({ id, name, workers: serving(id) }))
          .filter((model) => model.workers > 0),
        workers,
      };
    },
  );
}
