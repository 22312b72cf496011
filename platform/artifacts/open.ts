// The store that the configuration asks for. Needs no database, so that a device process can write into it directly.
import { join } from "node:path";
import type { Config } from "../config.ts";
import type { ArtifactStore } from "./store.ts";

export async function openArtifactStore(config: Config): Promise<ArtifactStore> {
  if (config.S3_BUCKET === undefined) {
    const { createDiskStore } = await import("./disk.ts");
    return createDiskStore(join(config.DATA_DIR, "artifacts"));
  }
  // Imported only when asked for: the SDK takes a quarter of a second to load.
  const { createS3Store } = await import("./s3.ts");
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = config;
  return createS3Store({
    bucket: config.S3_BUCKET,
    region: config.S3_REGION,
    prefix: config.S3_PREFIX,
    endpoint: config.S3_ENDPOINT,
    publicEndpoint: config.S3_PUBLIC_ENDPOINT,
    presign: config.S3_PRESIGN,
    credentials:
      accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey },
  });
}
