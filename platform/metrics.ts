// The registry behind GET /metrics. Names end in their unit; labels never carry ids, so that their number stays small.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    httpSeconds: new Histogram({
      name: "http_request_duration_seconds",
      help: "Time from the request to the end of its answer",
      labelNames: ["method", "route", "status"] as const,
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
      registers,
    }),
    jobsEnded: new Counter({
      name: "jobs_ended_total",
      help: "Jobs that ended in this process",
      labelNames: ["kind", "state"] as const,
      registers,
    }),
    jobsRequeued: new Counter({
      name: "jobs_requeued_total",
      help: "Jobs put back on the queue by this process",
      labelNames: ["kind", "reason"] as const,
      registers,
    }),
    staleWritesRefused: new Counter({
      name: "stale_writes_refused_total",
      help: "Writes under an epoch that was no longer the row's",
      registers,
    }),
    requestsEnded: new Counter({
      name: "requests_ended_total",
      help: "Completions and encodes that ended in this process",
      labelNames: ["kind", "state"] as const,
      registers,
    }),
    requestFirstEventSeconds: new Histogram({
      name: "request_first_event_seconds",
      help: "Time from a request's row to its first event",
      labelNames: ["kind"] as const,
      buckets: [0.01, 0.05, 0.1, 0.3, 1, 3, 10],
      registers,
    }),
    tokensGenerated: new Counter({
      name: "tokens_generated_total",
      help: "Tokens sampled by this process",
      labelNames: ["model"] as const,
      registers,
    }),
    promptTokens: new Counter({
      name: "prompt_tokens_total",
      help: "Tokens of the prompts of generated texts, each text's own",
      labelNames: ["model"] as const,
      registers,
    }),
    promptTokensCached: new Counter({
      name: "prompt_tokens_cached_total",
      help: "Of these, tokens that were known from an earlier request",
      labelNames: ["model"] as const,
      registers,
    }),
    queuedJobs: new Gauge({
      name: "queued_jobs",
      help: "Jobs that wait for a worker",
      labelNames: ["queue"] as const,
      registers,
    }),
    /** The text of GET /metrics and its content type. */
    async print(): Promise<{ contentType: string; text: string }> {
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
