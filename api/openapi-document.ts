// The OpenAPI document without a server: routes touch the platform only while they answer, so none is opened.
import { parseConfig } from "../platform/config.ts";
import { createLog } from "../platform/log.ts";
import type { Platform } from "../platform/platform.ts";
import { buildApp } from "./app.ts";

export async function openApiDocument(): Promise<object> {
  const parts: Partial<Platform> = {
    config: parseConfig({}),
    log: createLog({ level: "silent", process: "openapi" }),
  };
  const app = await buildApp({ platform: parts as Platform });
  try {
    await app.ready();
    return app.swagger();
  } finally {
    await app.close();
  }
}

/** As openapi/openapi.json holds it. */
export function printDocument(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}
