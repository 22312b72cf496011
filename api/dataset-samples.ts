// Pages of a dataset's samples. A cursor is where the page ended in the stored lines, so that the last page of a large
// dataset costs no more than the first.

import type { DatasetSample } from "../domain/dataset.ts";
import type { PageOf } from "../domain/page.ts";
import { Problem } from "../domain/problem.ts";
import type { ArtifactStore } from "../platform/artifacts/store.ts";
import type { Dataset } from "../platform/database.ts";

const newline = 0x0a;

export async function readSamples(
  store: ArtifactStore,
  workspaceId: string,
  dataset: Dataset,
  limit: number,
  cursor: string | undefined,
): Promise<PageOf<DatasetSample>> {
  const start = cursor === undefined ? 0 : decodeOffset(cursor, Number(dataset.size_bytes));
  const data: DatasetSample[] = [];
  let end = start;
  if (start < Number(dataset.size_bytes)) {
    const content = await store.get(workspaceId, dataset.digest, { start });
    let rest: Buffer = Buffer.alloc(0);
    outer: for await (const chunk of content as AsyncIterable<Buffer>) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let at = rest.indexOf(newline); at >= 0; at = rest.indexOf(newline)) {
        data.push(JSON.parse(rest.toString("utf8", 0, at)) as DatasetSample);
        end += at + 1;
        rest = rest.subarray(at + 1);
        if (data.length === limit) break outer;
      }
    }
    content.destroy();
  }
  const hasMore = end < Number(dataset.size_bytes);
  return { object: "list", data, has_more: hasMore, next_cursor: hasMore ? encodeOffset(end) : null };
}

function encodeOffset(offset: number): string {
  return Buffer.from(`at ${offset}`).toString("base64url");
}

function decodeOffset(cursor: string, sizeBytes: number): number {
  const match = /^at (\d{1,15})$/.exec(Buffer.from(cursor, "base64url").toString());
  const offset = Number(match?.[1] ?? Number.NaN);
  if (!(offset <= sizeBytes)) {
    throw new Problem("CURSOR_INVALID", undefined, {
      errors: [{ pointer: "/cursor", detail: "must be the next_cursor of a page of this dataset" }],
    });
  }
  return offset;
}
