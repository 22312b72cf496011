/** `npm run worker`: one worker against the configured database, until SIGTERM or SIGINT. */
import { ConfigInvalid, loadConfig } from "../platform/config.ts";
import { createPlatform } from "../platform/platform.ts";
import { createWorker } from "./supervisor.ts";

async function main(): Promise<void> {
  const stopped = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopped.resolve(signal));

  const config = loadConfig();
  // With the embedded database, the process that started it (npm start, npm run api) owns it; a worker joins.
  const platform = await createPlatform(config, { process: `worker ${config.WORKER_CLASS}`, embedded: "join" });
  try {
    const worker = await createWorker(platform, { class: config.WORKER_CLASS });
    platform.log.info({ worker: worker.id, class: config.WORKER_CLASS, device: config.DEVICE }, "worker ready");
    const signal = await stopped.promise;
    platform.log.info({ worker: worker.id, signal }, "worker stops: running work gives way");
    await worker.stop();
  } finally {
    await platform.close();
  }
}

const expectedNames: ReadonlySet<string> = new Set(["DataFolderLocked", "DeviceUnavailable"]);

main().catch((error: unknown) => {
  // A wrong setting or a missing database is for the person at the keyboard: the message, not a stack.
  const expected = error instanceof ConfigInvalid || expectedNames.has((error as { name?: string }).name ?? "");
  console.error(expected ? (error as Error).message : error);
  process.exitCode = 1;
});
