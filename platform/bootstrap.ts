// What must exist at the first start: the workspace `default`, and the first admin key when the configuration names one.
import { createHash } from "node:crypto";
import { newId } from "../domain/id.ts";
import type { PrismaClient } from "../prisma/client/client.ts";
import type { Config } from "./config.ts";

export const defaultWorkspaceName = "default";

/** How keys are stored. They are random, so a plain hash cannot be searched backwards. */
export function hashApiKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

export async function bootstrap(db: PrismaClient, config: Config): Promise<void> {
  await db.$executeRaw`
    INSERT INTO workspaces (id, name) VALUES (${newId("workspace")}, ${defaultWorkspaceName}) ON CONFLICT (name) DO NOTHING`;
  if (config.ADMIN_API_KEY === undefined) return;
  const workspace = await db.workspace.findUniqueOrThrow({ where: { name: defaultWorkspaceName } });
  const key = config.ADMIN_API_KEY;
  await db.$executeRaw`
    INSERT INTO api_keys (id, workspace_id, name, hash, prefix, scopes)
    VALUES (${newId("key")}, ${workspace.id}, 'ADMIN_API_KEY', ${hashApiKey(key)}, ${key.slice(0, 8)}, ARRAY['read', 'write', 'admin'])
    ON CONFLICT (hash) DO NOTHING`;
}
