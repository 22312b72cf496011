/** One workspace's part of the artifact store. */
import type { ArtifactStore } from "../platform/artifacts/store.ts";
import type { Blobs } from "./jobs/handler.ts";

export function createBlobs(store: ArtifactStore, workspaceId: string): Blobs {
  return {
    put: (bytes) => store.put(workspaceId, bytes),
    get: (digest, range) => store.get(workspaceId, digest, range),
  };
}
