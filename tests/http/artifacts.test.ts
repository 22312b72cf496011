import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Artifact } from "../../domain/artifact.ts";
import { expectBody, expectProblem, type TestApi, testApi } from "./api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await testApi({ ARTIFACT_LIMIT_BYTES: "100000" });
});
afterAll(() => api.close());

const content = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
const digest = createHash("sha256").update(content).digest("hex");
const post = (query = "") => api.admin.post(`/v1/artifacts${query}`).set("Content-Type", "application/octet-stream");

test("bytes sent at once are an artifact whose digest was verified", async () => {
  const response = await post(`?name=model.bin&content_type=application/x-test&digest=${digest}`).send(content);
  expect(response.status).toBe(201);
  expectBody(Artifact, response.body);
  expect(response.body).toMatchObject({
    name: "model.bin",
    state: "ready",
    digest: `sha256:${digest}`,
    size_bytes: 1000,
    content_type: "application/x-test",
  });
  expect(response.headers.location).toBe(`/v1/artifacts/${response.body.id}`);
  const wrong = await post(`?digest=sha256:${"0".repeat(64)}`).send(content);
  expect(wrong.status).toBe(422);
  expectProblem(wrong, "DIGEST_MISMATCH");
});

test("content comes as an attachment that no browser runs, whole or in ranges", async () => {
  const made = await post(`?name=${encodeURIComponent('r"apport é.html')}&content_type=text/html`).send(content);
  const get = () => api.admin.get(`/v1/artifacts/${made.body.id}/content`).buffer(true).parse(binary);
  const whole = await get();
  expect(whole.status).toBe(200);
  expect(whole.body.equals(content)).toBe(true);
  expect(whole.headers["content-disposition"]).toBe(
    "attachment; filename=\"r_apport _.html\"; filename*=UTF-8''r%22apport%20%C3%A9.html",
  );
  expect(whole.headers["x-content-type-options"]).toBe("nosniff");
  expect(whole.headers["content-security-policy"]).toContain("sandbox");
  expect(whole.headers["content-length"]).toBe("1000");
  expect(whole.headers.etag).toBe(`"${digest}"`);

  const part = await get().set("Range", "bytes=10-19");
  expect(part.status).toBe(206);
  expect(part.headers["content-range"]).toBe("bytes 10-19/1000");
  expect(part.body.equals(content.subarray(10, 20))).toBe(true);
  expect((await get().set("Range", "bytes=-5")).body.equals(content.subarray(995))).toBe(true);
  expect((await get().set("Range", "bytes=0-3,5-6")).status).toBe(200);
  expect((await get().set("Range", "bytes=0-3").set("If-Range", '"other"')).status).toBe(200);
  expect((await get().set("Range", "bytes=0-3").set("If-Range", `"${digest}"`)).status).toBe(206);

  const beyond = await api.admin.get(`/v1/artifacts/${made.body.id}/content`).set("Range", "bytes=1000-");
  expect(beyond.status).toBe(416);
  expect(beyond.headers["content-range"]).toBe("bytes */1000");
  expectProblem(beyond, "RANGE_NOT_SATISFIABLE");

  expect((await get().set("If-None-Match", `W/"x", "${digest}"`)).status).toBe(304);
  const head = await api.admin.head(`/v1/artifacts/${made.body.id}/content`);
  expect(head.status).toBe(200);
  expect(head.headers["content-length"]).toBe("1000");
});

function binary(response: unknown, done: (error: Error | null, body: Buffer) => void): void {
  const stream = response as NodeJS.ReadableStream;
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => done(null, Buffer.concat(chunks)));
}

test("an announced artifact is readable only after its bytes came and fit", async () => {
  const announced = await api.admin
    .post("/v1/artifacts")
    .send({ name: "later.bin", size_bytes: 1000, digest: `sha256:${digest}` });
  expect(announced.status).toBe(201);
  expectBody(Artifact, announced.body);
  const { id, upload } = announced.body;
  expect(announced.body).toMatchObject({ state: "uploading", digest: null, upload: { method: "direct" } });
  expect(upload.url).toBe(`/v1/artifacts/${id}/content`);
  expectProblem(await api.admin.get(upload.url), "ARTIFACT_NOT_READY");
  const put = (bytes: Buffer) => api.admin.put(upload.url).set("Content-Type", "application/x-any").send(bytes);
  expectProblem(await put(content.subarray(0, 999)), "DIGEST_MISMATCH");
  expectProblem(await put(Buffer.concat([content, content])), "BODY_TOO_LARGE");
  expect((await api.admin.get(`/v1/artifacts/${id}`)).body.state).toBe("uploading");
  const done = await put(content);
  expect(done.status, JSON.stringify(done.body)).toBe(200);
  expect(done.body).toMatchObject({ state: "ready", digest: `sha256:${digest}` });
  expect(done.body.upload).toBeUndefined();
  expect((await put(content)).status).toBe(200);
  const read = await api.admin.get(`/v1/artifacts/${id}`);
  expect(read.body).toEqual(done.body);
  expect((await api.admin.get(`/v1/artifacts/${id}`).set("If-None-Match", read.headers.etag ?? "")).status).toBe(304);
});

test("an announcement that lies about its size is refused when the bytes come", async () => {
  const announced = await api.admin.post("/v1/artifacts").send({ size_bytes: 2000, digest });
  const put = await api.admin
    .put(announced.body.upload.url)
    .set("Content-Type", "application/octet-stream")
    .send(content);
  expectProblem(put, "DIGEST_MISMATCH");
});

test("what is too large, malformed or unknown is refused", async () => {
  expectProblem(await api.admin.post("/v1/artifacts").send({ size_bytes: 200_000, digest }), "BODY_TOO_LARGE");
  expectProblem(await post().send(Buffer.alloc(100_001)), "BODY_TOO_LARGE");
  expectProblem(
    await api.admin.post("/v1/artifacts").send({ size_bytes: 1, digest: "md5:x" }),
    "VALIDATION_FAILED",
    "/digest",
  );
  expectProblem(await post("?digest=abc").send(content), "VALIDATION_FAILED", "/digest");
  expectProblem(await api.admin.get(`/v1/artifacts/artifact_${"0".repeat(26)}`), "ARTIFACT_NOT_FOUND");
  expectProblem(await api.admin.get("/v1/artifacts/nonsense"), "VALIDATION_FAILED", "/id");
});

test("an artifact that a running job is making is invisible", async () => {
  const blob = await api.platform.store.put(api.platform.workspaceId, Buffer.from("half"));
  const row = await api.platform.artifacts.create({
    workspaceId: api.platform.workspaceId,
    name: "half",
    contentType: "text/plain",
    blob,
    jobId: "job_x",
  });
  expectProblem(await api.admin.get(`/v1/artifacts/${row.id}`), "ARTIFACT_NOT_FOUND");
  expectProblem(await api.admin.get(`/v1/artifacts/${row.id}/content`), "ARTIFACT_NOT_FOUND");
});
