import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const folders = [
  "architecture",
  "assets",
  "docs",
  "domain",
  "engine",
  "formats",
  "gpu",
  "http",
  "infra",
  "platform",
  "web",
  "workers",
];

/** The projects whose tests use a database share one server for the whole run. */
const withDatabase = new Set(["docs", "http", "platform", "workers"]);

function setupOf(project: string): string[] {
  if (project === "web") return ["tests/web/stack.ts"];
  return withDatabase.has(project) ? ["tests/support/global-setup.ts"] : [];
}

export default defineConfig({
  test: {
    // A limit for what hangs, far above what anything takes on a machine that does other things meanwhile.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // Vitest's own choice is one fewer. Many files wait for other processes more than they compute.
    maxWorkers: availableParallelism(),
    projects: folders.map((name) => ({
      extends: true,
      test: {
        name,
        include: [`tests/${name}/**/*.test.ts`],
        globalSetup: setupOf(name),
      },
    })),
  },
});
