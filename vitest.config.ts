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
  "workers",
];

/** The projects whose tests use a database share one server for the whole run. */
const withDatabase = new Set(["docs", "http", "platform", "workers"]);

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: folders.map((name) => ({
      extends: true,
      test: {
        name,
        include: [`tests/${name}/**/*.test.ts`],
        globalSetup: withDatabase.has(name) ? ["tests/support/global-setup.ts"] : [],
      },
    })),
  },
});
