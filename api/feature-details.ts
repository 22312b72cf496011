// The evidence of one feature: its line in the details that features.index left, by one read of a range.
import type { FeatureDetailsLine } from "../domain/feature.ts";
import type { FeatureRow } from "../platform/features.ts";
import type { Platform } from "../platform/platform.ts";

export async function readDetails(
  platform: Platform,
  workspaceId: string,
  artifactId: string,
  row: FeatureRow,
): Promise<FeatureDetailsLine | null> {
  if (row.details_offset === null || row.details_length === null) return null;
  const { digest } = await platform.db.artifact.findUniqueOrThrow({ where: { id: artifactId } });
  const range = { start: row.details_offset, end: row.details_offset + row.details_length };
  const chunks: Uint8Array[] = [];
  for await (const chunk of await platform.store.get(workspaceId, digest!, range)) chunks.push(chunk as Uint8Array);
  return JSON.parse(Buffer.concat(chunks).toString("utf8")) as FeatureDetailsLine;
}
