import type { PageProps } from "../shell/page.ts";
import { linkTo } from "../shell/router.ts";
import { NewTraining } from "./new-training.tsx";
import { RecentTrainings } from "./recent-trainings.tsx";
import { TrainingRun } from "./training-run.tsx";
import "./train.css";

/** `#/train` starts one, `#/train/{job}` follows it. */
export function TrainPage({ rest }: PageProps) {
  const [id] = rest;
  if (id !== undefined) {
    return (
      <>
        <nav aria-label="Where this is" class="small">
          <a href={linkTo("train")}>All trainings</a>
        </nav>
        <TrainingRun key={id} id={id} />
      </>
    );
  }
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Train</h1>
          <p>
            Train sparse autoencoders on the activations of a model: one per layer, all from one pass over the text.
          </p>
        </div>
      </header>
      <div class="train-columns">
        <NewTraining />
        <RecentTrainings />
      </div>
    </>
  );
}
