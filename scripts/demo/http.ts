// The API as a client of it sees it: only fetch.

export interface JobView {
  readonly id: string;
  readonly state: "queued" | "running" | "succeeded" | "failed" | "canceled";
  readonly progress: {
    readonly done: number;
    readonly total: number | null;
    readonly unit: string;
    readonly rate: number | null;
    readonly eta_s: number | null;
  } | null;
  readonly error: { readonly title: string; readonly detail?: string } | null;
  readonly result: Record<string, unknown> | null;
  readonly metrics: Record<string, unknown> | null;
  readonly artifacts: readonly { readonly name: string; readonly content_url: string }[];
}

export interface ApiClient {
  readonly url: string;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  bytes(path: string): Promise<Buffer>;
  /** Starts a job and waits for its end; throws when it does not succeed. */
  job(kind: string, input: unknown, onProgress: (job: JobView) => void): Promise<JobView>;
}

const POLL_MS = 400;

export function createClient(url: string): ApiClient {
  async function ask(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(`${url}${path}`, init);
    if (response.ok) return response;
    throw new Error(`${init.method ?? "GET"} ${path}: ${response.status} ${(await response.text()).slice(0, 2000)}`);
  }
  const client: ApiClient = {
    url,
    get: async <T>(path: string) => (await (await ask(path)).json()) as T,
    bytes: async (path) => Buffer.from(await (await ask(path)).arrayBuffer()),
    post: async <T>(path: string, body: unknown) => {
      const headers = { "Content-Type": "application/json" };
      return (await (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json()) as T;
    },
    async job(kind, input, onProgress) {
      const { id } = await client.post<JobView>("/v1/jobs", { kind, input });
      for (;;) {
        const job = await client.get<JobView>(`/v1/jobs/${id}`);
        onProgress(job);
        if (job.state === "succeeded") return job;
        if (job.state === "failed" || job.state === "canceled") {
          throw new Error(`${kind} ${job.state}: ${job.error?.detail ?? job.error?.title ?? "no reason given"}`);
        }
        await new Promise((done) => setTimeout(done, POLL_MS));
      }
    },
  };
  return client;
}
