// `npm run demo`: the product's main job in one sitting, over HTTP, on this machine. `--once` exits when it is done.

import { parseArgs } from "node:util";
import { analyse, findChinese, introduce, steer, train } from "./demo/chapters.ts";
import { createClient } from "./demo/http.ts";
import { bold, cyan, dim, line } from "./demo/terminal.ts";
import { type Embedded, startEmbedded } from "./embedded.ts";

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
  const started = performance.now();
  const stopped = new Promise<void>((done) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => done());
  });

  introduce();
  const service = await startEmbedded({ LOG_LEVEL: process.env.LOG_LEVEL ?? "warn" }, (text) => line(dim(text)));
  try {
    // Ctrl-C in the middle of a chapter ends the demonstration in order, too.
    if ((await Promise.race([tell(service).then(() => "told" as const), stopped])) !== "told") return;
    console.log(`\n${bold("Done")} ${dim(`in ${Math.round((performance.now() - started) / 1000)} s`)}`);
    line(`reference  ${cyan(`${service.url}/docs`)}`);
    line(`API        ${cyan(`${service.url}/v1`)}`);
    if (values.once) return;
    line(dim("serving until Ctrl-C"));
    await stopped;
  } finally {
    await service.stop();
  }
}

async function tell(service: Embedded): Promise<void> {
  await service.bundled;
  const api = createClient(service.url);
  await steer(api, await findChinese(api));
  await train(api);
  await analyse(api);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(`\n${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
