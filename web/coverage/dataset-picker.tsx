import { useState } from "preact/hooks";
import type { Dataset } from "../api/catalog.ts";
import { formatCount } from "../elements/format.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";
import { DatasetRow } from "./dataset-row.tsx";
import { chosenDatasets } from "./setup-state.ts";
import { useTemplates } from "./use-templates.ts";

const fewDatasets = 8;

/** What is on the server already. */
export function DatasetPicker({ datasets }: { readonly datasets: readonly Dataset[] }) {
  const [search, setSearch] = useState("");
  const templates = useTemplates();
  const shown = datasets.filter(({ name }) => name.includes(search.trim().toLowerCase()));
  const chosen = chosenDatasets.value;
  const samples = datasets.filter(({ id }) => chosen.includes(id)).reduce((sum, dataset) => sum + dataset.samples, 0);
  const all = shown.every(({ id }) => chosen.includes(id));
  const chooseAll = () => {
    const ids = shown.map(({ id }) => id);
    chosenDatasets.value = all
      ? chosen.filter((id) => !ids.includes(id))
      : [...chosen, ...ids.filter((id) => !chosen.includes(id))];
  };
  if (datasets.length === 0) return <p class="soft small">No dataset is on the server yet.</p>;
  return (
    <div class="dataset-picker">
      <div class="picker-head">
        <h3>On this server</h3>
        {datasets.length > fewDatasets && (
          <input
            type="search"
            aria-label="Search datasets"
            placeholder="Search"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        )}
        <button type="button" class="button quiet" onClick={chooseAll}>
          {all ? "Choose none" : "Choose all"}
        </button>
      </div>
      <ScrollBox label="Datasets" class="dataset-list">
        <ul>
          {shown.map((dataset) => (
            <DatasetRow key={dataset.id} dataset={dataset} templates={templates} />
          ))}
        </ul>
      </ScrollBox>
      <p class="small soft" role="status">
        {chosen.length} chosen, {formatCount(samples)} samples
      </p>
    </div>
  );
}
