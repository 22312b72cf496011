// What an install needs besides its packages. Runs on whatever Node the machine has, so it imports nothing of ours.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, symlinkSync } from "node:fs";

// npm 10 does not always link the commands of optional packages, and without its link the Node that we bring (ADR 4)
// is not first on the path of scripts.
const bin = "node_modules/.bin/node";
const brought = readdirSync("node_modules").find((name) => /^node-(linux|darwin)-/.test(name));
if (brought && !existsSync(bin)) symlinkSync(`../${brought}/bin/node`, bin);

// Generates the Prisma client without the network: `generate` never runs the schema engine, yet the CLI
// insists on finding one, so any executable stands in for it.
execFileSync(process.execPath, ["node_modules/prisma/build/index.js", "generate"], {
  stdio: ["ignore", "ignore", "inherit"],
  env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: "1" },
});

// The console, and the types of the API that it is written against. An image of a worker has no web folder.
if (existsSync("web/index.html")) {
  const run = (...args) => execFileSync(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  run("node_modules/openapi-typescript/bin/cli.js", "openapi/openapi.json", "--output", "web/openapi.d.ts");
  run("node_modules/vite/bin/vite.js", "build", "web", "--logLevel", "warn");
}
