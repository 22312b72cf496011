import { isOver, type Job } from "../api/follow-job.ts";
import { announce } from "../elements/announcer.tsx";
import { linkTo } from "../shell/router.ts";

/** Where a finished job's result has a page of its own. */
const resultPages: Readonly<Record<string, { readonly page: string; readonly words: string }>> = {
  "benchmark.analyze": { page: "coverage", words: "Open the analysis" },
  "sae.train": { page: "train", words: "Open the training" },
};

interface Props {
  readonly job: Job;
  readonly cancel: () => Promise<void>;
  readonly resume: () => Promise<void>;
}

export function JobActions({ job, cancel, resume }: Props) {
  const result = resultPages[job.kind];
  const asked = job.cancel_requested_at !== null;
  const stopped = job.state === "failed" || job.state === "canceled";
  return (
    <div class="button-row">
      {result && !stopped && (
        <a class="button primary" href={linkTo(result.page, [job.id])}>
          {result.words}
        </a>
      )}
      {!isOver(job) && (
        <button
          type="button"
          class="button danger"
          disabled={asked}
          onClick={() => cancel().then(() => announce("Cancel asked for"))}
        >
          {asked ? "Canceling…" : "Cancel"}
        </button>
      )}
      {stopped && job.checkpoint !== null && (
        <button type="button" class="button" onClick={() => resume().then(() => announce("Resumed"))}>
          Resume from step {job.checkpoint.step}
        </button>
      )}
    </div>
  );
}
