// An sae that was never indexed: what that means, and the button that does it.
import { useEffect, useState } from "preact/hooks";
import { type Sae, useDatasets } from "../api/catalog.ts";
import { useJob } from "../api/use-job.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { ProgressBar } from "../elements/progress-bar.tsx";

export function IndexOffer({ sae, done }: { readonly sae: Sae; done(): void }) {
  const datasets = useDatasets();
  const [chosen, setChosen] = useState("");
  const [tokens, setTokens] = useState(200_000);
  const indexing = useJob();
  const state = indexing.job?.state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when it has succeeded.
  useEffect(() => {
    if (state === "succeeded") done();
  }, [state]);
  const largest = datasets.value?.toSorted((a, b) => b.samples - a.samples)[0]?.id ?? "";
  const dataset = chosen === "" ? largest : chosen;
  const problem = indexing.problem ?? indexing.job?.error ?? null;
  return (
    <section class="panel index-offer" aria-label="Index">
      <h2>Not indexed yet</h2>
      <p class="soft">
        One pass over a dataset measures how often each feature of {sae.name} fires, how strongly, on which texts, and
        which tokens it promotes. Nothing leaves this server.
      </p>
      {indexing.busy ? (
        <>
          <ProgressBar label="Indexing" progress={indexing.job?.progress ?? null} />
          <button type="button" class="button" onClick={indexing.cancel}>
            Cancel
          </button>
        </>
      ) : (
        <div class="index-fields">
          <div class="field">
            <label for="index-dataset">Texts to read</label>
            <select id="index-dataset" value={dataset} onChange={(event) => setChosen(event.currentTarget.value)}>
              {datasets.value?.map(({ id, name, samples }) => (
                <option key={id} value={id}>{`${name} · ${samples.toLocaleString("en")} samples`}</option>
              ))}
            </select>
          </div>
          <div class="field tokens">
            <label for="index-tokens">Tokens at most</label>
            <input
              id="index-tokens"
              type="number"
              min={1}
              value={tokens}
              onInput={(event) => setTokens(event.currentTarget.valueAsNumber)}
            />
          </div>
          <button
            type="button"
            class="button primary"
            disabled={dataset === "" || !(tokens >= 1)}
            onClick={() => indexing.start("features.index", { sae_ids: [sae.id], dataset_id: dataset, tokens })}
          >
            Index the features
          </button>
        </div>
      )}
      {problem && <ProblemNotice problem={problem} />}
    </section>
  );
}
