// `npm start`: serves everything from this machine until Ctrl-C (or SIGTERM).
import { ConfigInvalid } from "../platform/config.ts";
import { DataFolderLocked } from "../platform/data-lock.ts";
import { startEmbedded } from "./embedded.ts";

async function main(): Promise<void> {
  const signals = (["SIGINT", "SIGTERM"] as const).map(
    (signal) => new Promise<NodeJS.Signals>((done) => process.once(signal, () => done(signal))),
  );
  const stopped = Promise.race(signals);
  const say = (line: string) => console.log(`  ${line}`);

  console.log("qwen-scope");
  // Lines for a person; a machine that wants the structured log sets LOG_LEVEL.
  const server = await startEmbedded({ LOG_LEVEL: process.env.LOG_LEVEL ?? "warn" }, say);
  console.log(`\n  console    ${server.url}/`);
  console.log(`  API        ${server.url}/v1`);
  console.log(`  reference  ${server.url}/docs`);
  if (server.platform.config.AUTH === "off") {
    console.log("  access     no keys needed, from this machine only (AUTH=on requires keys)");
  }
  console.log(`\nready ${server.url}\n`);
  server.bundled.catch((error: Error) => {
    console.error(`  the bundled assets could not be registered: ${error.message}`);
  });

  const signal = await stopped;
  console.log(`\n${signal}: stopping. Running jobs leave a checkpoint and go on at the next start.`);
  // Whoever asks twice does not want to wait.
  for (const again of ["SIGINT", "SIGTERM"] as const) process.once(again, () => process.exit(130));
  await server.stop();
  console.log("stopped");
}

main().then(
  // Nothing is left that should keep the process; a forgotten timer must not.
  () => process.exit(),
  (error: unknown) => {
    const expected = error instanceof ConfigInvalid || error instanceof DataFolderLocked;
    console.error(expected ? `\n${(error as Error).message}` : error);
    process.exit(1);
  },
);
