// Serves the API: `npm run api`.
import { ConfigInvalid, loadConfig } from "../platform/config.ts";
import { DataFolderLocked } from "../platform/data-lock.ts";
import { createPlatform } from "../platform/platform.ts";
import { buildApp } from "./app.ts";

async function main(): Promise<void> {
  const config = loadConfig();
  const platform = await createPlatform(config, { process: "api" });
  const app = await buildApp({ platform });
  const stop = async (signal: string) => {
    platform.log.info({ signal }, "closing");
    await app.close();
    await platform.close();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop(signal));
  try {
    await app.listen({ host: config.HOST, port: config.PORT });
  } catch (error) {
    await app.close();
    await platform.close();
    throw (error as { code?: string }).code === "EADDRINUSE"
      ? new ConfigInvalid(`Port ${config.PORT} on ${config.HOST} is taken. Stop what listens there, or set PORT.`)
      : error;
  }
  if (config.AUTH === "off")
    platform.log.warn("Serving without API keys, on loopback only. Set AUTH=on to require keys.");
}

main().catch((error: unknown) => {
  // What a person can mend is said in a sentence; anything else is a bug and shows its stack.
  const expected = error instanceof ConfigInvalid || error instanceof DataFolderLocked;
  console.error(expected ? (error as Error).message : error);
  process.exitCode = 1;
});
