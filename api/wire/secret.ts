import type { Secret as WireSecret } from "../../domain/secret.ts";
import type { Secret } from "../../platform/database.ts";

export function wireSecret(row: Secret): WireSecret {
  return {
    id: row.id,
    object: "secret",
    name: row.name,
    hosts: row.hosts,
    created_at: row.created_at.toISOString(),
  };
}
