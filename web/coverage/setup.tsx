import { useEffect } from "preact/hooks";
import { useDatasets, useModels, useSaes } from "../api/catalog.ts";
import { useJob } from "../api/use-job.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { goTo, linkTo } from "../shell/router.ts";
import { DatasetPicker } from "./dataset-picker.tsx";
import { FileDrop } from "./file-drop.tsx";
import { MethodFields } from "./method-fields.tsx";
import { QuickStart } from "./quick-start.tsx";
import { RecentAnalyses } from "./recent-analyses.tsx";
import { analysisInput, chosenDatasets, chosenModel, chosenSaes, middleSae } from "./setup-state.ts";

/** Choosing what is compared, and starting it. */
export function Setup() {
  const datasets = useDatasets();
  const models = useModels();
  const saes = useSaes();
  const { start, problem, busy } = useJob();
  const input = analysisInput.value;
  const begin = async (body: object) => {
    const id = await start("benchmark.analyze", body);
    if (id !== null) goTo(linkTo("coverage", [id]));
  };
  useEffect(() => {
    if (chosenModel.value === null && models.value?.[0]) chosenModel.value = models.value[0].id;
  }, [models.value]);
  useEffect(() => {
    const offered = saes.value?.filter(({ model_id }) => model_id === chosenModel.value) ?? [];
    if (chosenSaes.value.length === 0 && offered.length > 0) chosenSaes.value = [middleSae(offered)?.id ?? ""];
  }, [saes.value, chosenModel.value]);
  const refused = datasets.problem ?? models.problem ?? saes.problem;
  return (
    <>
      <div class="page-head">
        <div>
          <h1>Which benchmarks repeat each other?</h1>
          <p>
            Each sample of a benchmark activates some features of the model. What benchmarks have in common, what only
            one of them tests, and which samples are enough, can be read off those features.
          </p>
        </div>
      </div>
      {refused && <ProblemNotice problem={refused} retry={datasets.reload} />}
      {datasets.value && saes.value && (
        <QuickStart datasets={datasets.value} saes={saes.value} busy={busy} begin={begin} />
      )}
      <div class="setup">
        <section class="panel" aria-labelledby="benchmarks-title">
          <div class="panel-head">
            <h2 id="benchmarks-title">Benchmarks</h2>
          </div>
          <FileDrop onAdded={datasets.reload} />
          {datasets.value && <DatasetPicker datasets={datasets.value} />}
        </section>
        <div class="setup-side">
          <section class="panel" aria-labelledby="method-title">
            <div class="panel-head">
              <h2 id="method-title">Model and features</h2>
            </div>
            {models.value && saes.value && <MethodFields models={models.value} saes={saes.value} />}
          </section>
          <section class="panel start-panel" aria-label="Start">
            <button
              type="button"
              class="button primary"
              disabled={input === null || busy}
              onClick={() => input && begin(input)}
            >
              {busy ? "Starting…" : `Compare ${countOf(chosenDatasets.value.length)}`}
            </button>
            {input === null && <p class="small soft">Choose at least one benchmark and one sae.</p>}
            {problem && <ProblemNotice problem={problem} />}
          </section>
          <RecentAnalyses />
        </div>
      </div>
    </>
  );
}

const countOf = (count: number) => (count === 1 ? "1 benchmark" : `${count || ""} benchmarks`);
