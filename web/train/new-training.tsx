import { useState } from "preact/hooks";
import { useDatasets, useModels } from "../api/catalog.ts";
import { answered, client } from "../api/client.ts";
import { useJob } from "../api/use-job.ts";
import { useResource } from "../api/use-resource.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { useSettled } from "../elements/use-settled.ts";
import { goTo, linkTo } from "../shell/router.ts";
import { EstimateView, type TrainEstimate } from "./estimate-view.tsx";
import { SizeFields } from "./size-fields.tsx";
import { SourceFields } from "./source-fields.tsx";
import { emptyTraining, missingFromTraining, type TrainForm, trainInput } from "./train-form.ts";

export function NewTraining() {
  const [models, datasets] = [useModels(), useDatasets()];
  const [chosen, setForm] = useState<TrainForm>(emptyTraining);
  const onlyModelId = models.value?.length === 1 ? models.value[0]!.id : "";
  const form = { ...chosen, modelId: chosen.modelId || onlyModelId };
  const training = useJob();
  const change = (changes: Partial<TrainForm>) => setForm((last) => ({ ...last, ...changes }));
  const missing = missingFromTraining(form);
  const asked = useSettled(missing === null ? JSON.stringify(trainInput(form)) : null);
  const estimate = useResource(asked, async (signal) => {
    const body = { kind: "sae.train", input: JSON.parse(asked ?? "{}") } as never;
    const { estimate } = await answered(client.POST("/v1/jobs/estimate", { body, signal }));
    return estimate as TrainEstimate;
  });
  const model = models.value?.find(({ id }) => id === form.modelId) ?? null;
  const listProblem = models.problem ?? datasets.problem;
  const start = async (event: SubmitEvent) => {
    event.preventDefault();
    const id = await training.start("sae.train", trainInput(form));
    if (id !== null) goTo(linkTo("train", [id]));
  };
  const refused = training.problem ?? estimate.problem;
  return (
    <form class="train-form" aria-label="New training" onSubmit={start}>
      {listProblem && <ProblemNotice problem={listProblem} retry={models.reload} />}
      <SourceFields
        form={form}
        models={models.value ?? []}
        datasets={datasets.value ?? []}
        layers={model?.layers ?? 0}
        change={change}
      />
      <SizeFields form={form} dModel={model?.d_model ?? null} change={change} />
      <section class="panel estimate" aria-label="Estimate" aria-live="polite">
        <h2>Before it starts</h2>
        {missing !== null ? (
          <p class="soft">{missing}</p>
        ) : (
          estimate.value && <EstimateView estimate={estimate.value} stale={estimate.loading} />
        )}
        {missing === null && estimate.value === null && estimate.problem === null && <p class="soft">Estimating…</p>}
        {refused && <ProblemNotice problem={refused} />}
        <button
          type="submit"
          class="button primary"
          disabled={missing !== null || estimate.problem !== null || training.busy}
        >
          Start training
        </button>
      </section>
    </form>
  );
}
