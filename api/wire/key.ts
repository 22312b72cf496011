import type { Key as WireKey } from "../../domain/key.ts";
import type { ApiKey, Workspace } from "../../platform/database.ts";

export function wireKey(row: ApiKey & { workspace: Pick<Workspace, "name"> }, secret?: string): WireKey {
  return {
    id: row.id,
    object: "key",
    name: row.name,
    scopes: row.scopes as WireKey["scopes"],
    workspace: row.workspace.name,
    prefix: row.prefix,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at?.toISOString() ?? null,
    revoked_at: row.revoked_at?.toISOString() ?? null,
    last_used_at: row.last_used_at?.toISOString() ?? null,
    ...(secret === undefined ? {} : { secret }),
  };
}
