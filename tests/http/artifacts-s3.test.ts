// The same routes on a store that clients reach themselves: addresses to put parts to, redirects to read from.
import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Artifact } from "../../domain/artifact.ts";
import { startS3, type TestS3 } from "../support/s3-server.ts";
import { expectBody, expectProblem, type TestApi, testApi } from "./api.ts";

let s3: TestS3;
let api: TestApi;
beforeAll(async () => {
  s3 = await startS3();
  api = await testApi({
    S3_BUCKET: s3.settings.bucket,
    S3_ENDPOINT: s3.settings.endpoint ?? "",
    AWS_ACCESS_KEY_ID: "S3RVER",
    AWS_SECRET_ACCESS_KEY: "S3RVER",
  });
});
afterAll(async () => {
  await api.close();
  await s3.stop();
});

interface Part {
  number: number;
  url: string;
  offset: number;
  size_bytes: number;
}

// A little more than one part of 16 MiB.
const content = randomBytes(16 * 2 ** 20 + 1000);
const digest = createHash("sha256").update(content).digest("hex");

async function announce(given: string): Promise<{ id: string; parts: Part[]; complete: string }> {
  const { status, body } = await api.admin
    .post("/v1/artifacts")
    .send({ name: "big.bin", size_bytes: content.length, digest: given });
  expect(status, JSON.stringify(body)).toBe(201);
  expectBody(Artifact, body);
  expect(body.upload.method).toBe("multipart");
  return { id: body.id, parts: body.upload.parts, complete: body.upload.complete_url };
}

async function putParts(parts: readonly Part[]): Promise<{ number: number; etag: string }[]> {
  const sent = [];
  for (const { number, url, offset, size_bytes: size } of parts) {
    const response = await fetch(url, { method: "PUT", body: content.subarray(offset, offset + size) });
    expect(response.status).toBe(200);
    sent.push({ number, etag: response.headers.get("etag") ?? "" });
  }
  return sent;
}

test("the parts of an announced artifact go to the store and are read by a redirect to it", async () => {
  const { id, parts, complete } = await announce(digest);
  expect(parts.map((part) => part.size_bytes)).toEqual([16 * 2 ** 20, 1000]);
  expectProblem(await api.admin.get(`/v1/artifacts/${id}/content`), "ARTIFACT_NOT_READY");
  const sent = await putParts(parts);
  const done = await api.admin.post(complete).send({ parts: sent });
  expect(done.status, JSON.stringify(done.body)).toBe(200);
  expect(done.body).toMatchObject({ state: "ready", digest: `sha256:${digest}`, size_bytes: content.length });
  expect((await api.admin.post(complete).send({ parts: sent })).status).toBe(200);
  const redirect = await api.admin.get(`/v1/artifacts/${id}/content`).redirects(0);
  expect(redirect.status).toBe(302);
  const read = await fetch(redirect.headers.location ?? "");
  expect(Buffer.from(await read.arrayBuffer()).equals(content)).toBe(true);
});

test("bytes of another digest never become readable", async () => {
  const { id, parts, complete } = await announce("0".repeat(64));
  const sent = await putParts(parts);
  expectProblem(await api.admin.post(complete).send({ parts: sent }), "DIGEST_MISMATCH");
  expectProblem(await api.admin.get(`/v1/artifacts/${id}/content`), "ARTIFACT_NOT_READY");
});

test("parts of a multipart upload are not taken by the API itself, and none of them may be missing", async () => {
  const { id, complete } = await announce(digest);
  const put = api.admin
    .put(`/v1/artifacts/${id}/content`)
    .set("Content-Type", "application/octet-stream")
    .send(Buffer.from("x"));
  expectProblem(await put, "UPLOAD_INCOMPLETE");
  const given = (numbers: number[]) => ({ parts: numbers.map((number) => ({ number, etag: '"e"' })) });
  for (const numbers of [[1], [2], [1, 2, 3], [1, 2, 2]]) {
    expectProblem(await api.admin.post(complete).send(given(numbers)), "UPLOAD_INCOMPLETE", "/parts");
  }
  expectProblem(await api.admin.post(complete).send(given([])), "VALIDATION_FAILED", "/parts");
});
