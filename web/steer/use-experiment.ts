// One run of the form: streams every arm, stops on request, and keeps what went wrong.
import { useRef, useState } from "preact/hooks";
import { readEvents } from "../api/event-stream.ts";
import { type ProblemDetails, problemFromBody, problemOf, RequestFailed } from "../api/problem.ts";
import { type Arm, type Chunk, expectedArms, withChunk } from "./arms.ts";
import { requestOf, type SteerForm, steeringOf } from "./steer-form.ts";

export interface Experiment {
  readonly arms: readonly Arm[];
  /** What the arms are answers to; null before the first run. */
  readonly form: SteerForm | null;
  readonly running: boolean;
  readonly problem: ProblemDetails | null;
  run(form: SteerForm): Promise<void>;
  stop(): void;
}

const idle = {
  arms: [] as readonly Arm[],
  form: null as SteerForm | null,
  running: false,
  problem: null as ProblemDetails | null,
};

export function useExperiment(): Experiment {
  const [state, setState] = useState(idle);
  const current = useRef<AbortController | null>(null);

  async function run(form: SteerForm): Promise<void> {
    current.current?.abort();
    const controller = new AbortController();
    current.current = controller;
    const mine = (change: (last: typeof idle) => typeof idle) => {
      if (current.current === controller) setState(change);
    };
    setState({ arms: expectedArms(steeringOf(form) !== null, form.control), form, running: true, problem: null });
    try {
      for await (const chunk of streamed(form, controller.signal)) {
        mine((last) => ({ ...last, arms: withChunk(last.arms, chunk) }));
      }
      mine((last) => ({ ...last, running: false }));
    } catch (error) {
      const problem = controller.signal.aborted ? null : problemOf(error);
      mine((last) => ({ ...last, running: false, problem }));
    }
  }

  return { ...state, run, stop: () => current.current?.abort() };
}

/** Throws RequestFailed for a request that is refused, and for one that fails midway. */
async function* streamed(form: SteerForm, signal: AbortSignal): AsyncGenerator<Chunk> {
  const { path, body } = requestOf(form);
  const init = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
    signal,
  };
  for await (const { data } of readEvents(path, init)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data) as Chunk | { readonly error: unknown };
    // The head was sent as 200 before the worker failed: the problem comes as an event.
    if ("error" in chunk) throw new RequestFailed(problemFromBody(chunk, new Response(null, { status: 500 })));
    yield chunk;
  }
}
