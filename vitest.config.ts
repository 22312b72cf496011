import { defineConfig } from "vitest/config";

const folders = ["architecture", "domain", "engine", "formats", "http", "platform", "workers"];

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
