// An S3-speaking server from npm for the conformance suite. What it cannot do is in docs/guides/s3.md.
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import S3rver from "s3rver";
import type { S3Settings } from "../../platform/artifacts/s3.ts";

export interface TestS3 {
  readonly settings: S3Settings;
  stop(): Promise<void>;
}

export async function startS3(): Promise<TestS3> {
  const directory = mkdtempSync(join(tmpdir(), "qwen-scope-s3-"));
  const server = new S3rver({
    port: 0,
    address: "127.0.0.1",
    silent: true,
    directory,
    configureBuckets: [{ name: "artifacts", configs: [] }],
  });
  const { port } = (await server.run()) as AddressInfo;
  return {
    settings: {
      bucket: "artifacts",
      region: "us-east-1",
      prefix: "test/",
      endpoint: `http://127.0.0.1:${port}`,
      presign: true,
      credentials: { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" },
      // The smallest that S3 allows, so that twelve megabytes are three parts.
      partSizeBytes: 5 * 2 ** 20,
    },
    async stop() {
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
