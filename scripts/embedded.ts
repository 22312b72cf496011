// Everything in one process and its children: database, API, one interactive and one batch worker. `npm start` and
// `npm run demo` are two ways to use it.
import { createServer } from "node:net";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildApp } from "../api/app.ts";
import { type Config, ConfigInvalid, loadConfig } from "../platform/config.ts";
import { createPlatform, type Platform } from "../platform/platform.ts";
import { createWorker, type Worker } from "../workers/supervisor.ts";
import { readManifest, registerBundled } from "./bundled.ts";
import { refreshConsole } from "./console.ts";

export interface Embedded {
  /** http://host:port, with the port that was taken when PORT is 0. */
  readonly url: string;
  readonly platform: Platform;
  /** Resolves when the bundled models, saes and datasets are there; rejects with what failed. */
  readonly bundled: Promise<void>;
  /** Running jobs leave a checkpoint and are queued again; then everything ends. */
  stop(): Promise<void>;
}

/** `say` gets one line for a person at each step. Throws ConfigInvalid or DataFolderLocked for what a person can mend. */
export async function startEmbedded(
  overrides: Readonly<Record<string, string>>,
  say: (line: string) => void,
): Promise<Embedded> {
  const assets = fileURLToPath(new URL("../assets", import.meta.url));
  const given = loadConfig(overrides);
  // What is bundled may always be imported, whatever other folders are allowed.
  const roots = new Set([...given.MODEL_ROOTS.map((root) => resolve(root)), assets]);
  const config = loadConfig({ ...overrides, MODEL_ROOTS: [...roots].join(",") });
  await expectFreePort(config);

  say(config.DATABASE_URL ? "using the database of DATABASE_URL" : `starting the database in ${config.DATA_DIR}`);
  const [platform] = await Promise.all([createPlatform(config, { process: "start" }), refreshConsole(say)]);
  const workers: Worker[] = [];
  const closing = new AbortController();
  let app: Awaited<ReturnType<typeof buildApp>> | null = null;
  let bundled: Promise<void> = Promise.resolve();
  const stop = async () => {
    closing.abort();
    await app?.close();
    await Promise.all(workers.map((worker) => worker.stop()));
    await bundled.catch(() => {});
    await platform.close();
  };
  try {
    say("starting an interactive and a batch worker");
    app = await buildApp({ platform });
    // Settled, not all: one that fails must not leave the other running unseen.
    const started = await Promise.allSettled(
      (["interactive", "batch"] as const).map((kind) => createWorker(platform, { class: kind, neighbours: 2 })),
    );
    for (const result of started) if (result.status === "fulfilled") workers.push(result.value);
    for (const result of started) if (result.status === "rejected") throw result.reason;
    await app.listen({ host: config.HOST, port: config.PORT }).catch((error) => {
      throw error.code === "EADDRINUSE" ? portTaken(config) : error;
    });
    const manifest = await readManifest(assets);
    if (manifest) {
      bundled = registerBundled(platform, assets, manifest, say, closing.signal).then(() => {
        if (!closing.signal.aborted) say("the bundled models, saes and datasets are registered");
      });
    }
    // Whoever awaits it hears of a failure; nobody must, so it is no unhandled rejection.
    bundled.catch(() => {});
    return { url: urlOf(app.server.address(), config), platform, bundled, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function urlOf(address: ReturnType<ReturnType<typeof createServer>["address"]>, config: Config): string {
  const port = typeof address === "object" && address ? address.port : config.PORT;
  const host = config.HOST.includes(":") ? `[${config.HOST.replace(/[[\]]/g, "")}]` : config.HOST;
  return `http://${host}:${port}`;
}

/** Before anything is started, so that a second start ends in a second and not after a database has come up. */
async function expectFreePort(config: Config): Promise<void> {
  if (config.PORT === 0) return;
  const probe = createServer();
  await new Promise<void>((done, fail) => {
    probe.once("error", (error: NodeJS.ErrnoException) =>
      fail(error.code === "EADDRINUSE" ? portTaken(config) : new ConfigInvalid(`HOST, PORT: ${error.message}`)),
    );
    probe.listen(config.PORT, config.HOST, () => probe.close(() => done()));
  });
}

function portTaken(config: Config): ConfigInvalid {
  return new ConfigInvalid(
    `Port ${config.PORT} on ${config.HOST} is taken. Stop what listens there, or set PORT to another (0 takes a free one).`,
  );
}
