import { defineConfig } from "vitest/config";

const folders = ["architecture", "assets", "docs", "domain", "engine", "formats", "http", "infra", "platform", "workers"];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: folders.map((name) => ({
      extends: true,
      test: { name, include: [`tests/${name}/**/*.test.ts`] },
    })),
  },
});
