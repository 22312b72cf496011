import { defineConfig } from "prisma/config";

// The one place outside platform/config.ts that reads an environment variable: Prisma's own command line needs the
// address for `migrate deploy`, and `generate` must work without one.
const url = process.env.DATABASE_URL;

export default defineConfig({
  schema: "prisma/schema.prisma",
  migrations: { path: "prisma/migrations" },
  ...(url === undefined ? {} : { datasource: { url } }),
});
