import { Page } from "../../domain/page.ts";
import { ReleasedSaes, releasedSuite } from "../../domain/released-suite.ts";
import { closed } from "../../domain/schema.ts";
import type { App } from "../context.ts";

export async function saeReleaseRoutes(app: App): Promise<void> {
  app.get(
    "/v1/sae-releases",
    {
      config: { scope: "read" },
      schema: {
        tags: ["saes"],
        operationId: "listReleasedSaes",
        summary: "List the releases of Qwen-Scope that can be imported by name",
        description:
          "All of them on one page. `POST /v1/saes` with a source of type hub and the `repo` imports layers of one.",
        querystring: closed({}),
        response: { 200: Page(ReleasedSaes, "ReleasedSaesPage") },
      },
    },
    async () => ({ object: "list" as const, data: [...releasedSuite], has_more: false, next_cursor: null }),
  );
}
