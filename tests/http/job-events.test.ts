import { createParser, type EventSourceMessage } from "eventsource-parser";
import { afterAll, beforeAll, expect, test } from "vitest";
import { JobEvent } from "../../domain/job.ts";
import { Page } from "../../domain/page.ts";
import type { JobClaim } from "../../platform/jobs.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { datasetOf, expectBody, expectProblem, modelRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let address: string;
let secret: string;
let modelName: string;
let datasetName: string;
beforeAll(async () => {
  api = await testApi();
  modelName = (await modelRow(api, api.platform.workspaceId)).name;
  datasetName = (await datasetOf(api.admin)).name;
  secret = await api.secret(api.platform.workspaceId, "read");
  address = await api.app.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(() => api.close());

async function startedJob(): Promise<JobClaim> {
  const input = { model_id: modelName, dataset_id: datasetName, layers: [0], width: 64, k: 4, tokens: 8192 };
  const { body } = await api.admin.post("/v1/jobs").send({ kind: "sae.train", input });
  const row = await api.platform.db.job.findUniqueOrThrow({ where: { id: body.id } });
  const claim = await api.platform.claims.claim(await takeDelivery(api.platform, row.queue), "worker_test");
  if (claim === null) throw new Error("the job was not claimed");
  return claim;
}

interface Stream {
  readonly response: Response;
  /** Events until `count` have come or the stream ends. */
  read(count?: number): Promise<EventSourceMessage[]>;
  close(): void;
}

async function follow(id: string, headers: Record<string, string> = {}): Promise<Stream> {
  const controller = new AbortController();
  const response = await fetch(`${address}/v1/jobs/${id}/events`, {
    headers: { Accept: "text/event-stream", Authorization: `Bearer ${secret}`, ...headers },
    signal: controller.signal,
  });
  const events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event) });
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let taken = 0;
  return {
    response,
    async read(count = Number.POSITIVE_INFINITY) {
      while (events.length - taken < count) {
        const chunk = await reader?.read();
        if (chunk === undefined || chunk.done) break;
        parser.feed(decoder.decode(chunk.value, { stream: true }));
      }
      const fresh = events.slice(taken, taken + count);
      taken += fresh.length;
      return fresh;
    },
    close: () => controller.abort(),
  };
}

test("the list of events goes oldest first from a cursor on", async () => {
  const claim = await startedJob();
  await api.platform.claims.appendEvent(claim, "log", { message: "one" });
  await api.platform.claims.appendEvent(claim, "log", { message: "two" });
  const all = (await api.admin.get(`/v1/jobs/${claim.jobId}/events`)).body;
  expectBody(Page(JobEvent, "JobEventPage"), all);
  const ids = all.data.map((event: { id: number }) => event.id);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  expect(all.data.at(-1)).toMatchObject({ type: "log", data: { message: "two" } });
  const paged: number[] = [];
  let cursor: string | null = "0";
  while (cursor !== null) {
    const page: { data: { id: number }[]; next_cursor: string | null } = (
      await api.admin.get(`/v1/jobs/${claim.jobId}/events?limit=1&cursor=${cursor}`)
    ).body;
    paged.push(...page.data.map((event) => event.id));
    cursor = page.next_cursor;
  }
  expect(paged).toEqual(ids);
  await api.platform.claims.finish(claim, { state: "canceled" });
});

test("a stream brings past and coming events and ends with the job", async () => {
  const claim = await startedJob();
  await api.platform.claims.appendEvent(claim, "log", { message: "before" });
  const stream = await follow(claim.jobId);
  expect(stream.response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  expect(stream.response.headers.get("x-accel-buffering")).toBe("no");
  const past = await stream.read(3);
  expect(past.at(-1)?.event).toBe("log");
  await api.platform.claims.appendEvent(claim, "log", { message: "during" });
  const [during] = await stream.read(1);
  expect(JSON.parse(during?.data ?? "")).toMatchObject({ type: "log", data: { message: "during" } });
  await api.platform.claims.finish(claim, { state: "failed", error: { code: "TRAINING_NOT_FINITE" } });
  const rest = await stream.read();
  expect(rest.map((event) => event.event)).toEqual(["end"]);
  expect(JSON.parse(rest[0]?.data ?? "").data).toEqual({ state: "failed" });
});

test("a stream that was cut goes on after Last-Event-ID without a gap or a repetition", async () => {
  const claim = await startedJob();
  for (let i = 0; i < 5; i++) await api.platform.claims.appendEvent(claim, "log", { i });
  const first = await follow(claim.jobId);
  const seen = await first.read(4);
  first.close();
  for (let i = 5; i < 8; i++) await api.platform.claims.appendEvent(claim, "log", { i });
  const second = await follow(claim.jobId, { "Last-Event-ID": seen.at(-1)?.id ?? "" });
  await api.platform.claims.finish(claim, { state: "canceled" });
  const ids = [...seen, ...(await second.read())].map((event) => Number(event.id));
  expect(ids).toEqual(Array.from({ length: ids.length }, (_, i) => i + 1));
  expect(ids.length).toBe(await api.platform.db.jobEvent.count({ where: { job_id: claim.jobId } }));
});

test("after the last event of an ended job there is nothing to wait for: 204", async () => {
  const claim = await startedJob();
  const { event_seq: last } = await api.platform.claims.finish(claim, { state: "canceled" });
  expect((await follow(claim.jobId, { "Last-Event-ID": String(last) })).response.status).toBe(204);
  const before = await follow(claim.jobId, { "Last-Event-ID": String(last - 1) });
  expect((await before.read()).map((event) => event.id)).toEqual([String(last)]);
});

test("an unknown job and an id that is none of its events are refused before the stream begins", async () => {
  expectProblem(await api.admin.get(`/v1/jobs/job_${"0".repeat(26)}/events`), "JOB_NOT_FOUND");
  const claim = await startedJob();
  const stream = api.admin.get(`/v1/jobs/${claim.jobId}/events`).set("Accept", "text/event-stream");
  expectProblem(await stream.set("Last-Event-ID", "yesterday"), "CURSOR_INVALID");
  expectProblem(await api.admin.get(`/v1/jobs/${claim.jobId}/events?cursor=x`), "VALIDATION_FAILED", "/cursor");
  await api.platform.claims.finish(claim, { state: "canceled" });
});

test("closing the server ends open streams", async () => {
  const other = await testApi();
  const model = await modelRow(other, other.platform.workspaceId);
  const dataset = await datasetOf(other.admin);
  const input = { model_id: model.id, dataset_id: dataset.id, layers: [0], width: 64, k: 4, tokens: 8192 };
  const { body } = await other.admin.post("/v1/jobs").send({ kind: "sae.train", input });
  const base = await other.app.listen({ host: "127.0.0.1", port: 0 });
  const response = await fetch(`${base}/v1/jobs/${body.id}/events`, {
    headers: { Accept: "text/event-stream", Authorization: `Bearer ${await other.secret(other.platform.workspaceId)}` },
  });
  const reading = response.text().then(
    () => "ended",
    () => "ended",
  );
  await other.close();
  expect(await reading).toBe("ended");
});
