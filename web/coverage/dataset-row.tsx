import type { Dataset } from "../api/catalog.ts";
import { formatCount } from "../elements/format.ts";
import { chosenDatasets, setShots, setTemplate, shots, templates, toggled } from "./setup-state.ts";
import type { Template } from "./use-templates.ts";

interface Props {
  readonly dataset: Dataset;
  readonly templates: readonly Template[];
}

/** One benchmark: whether it takes part, and how its prompts read. */
export function DatasetRow({ dataset, templates: offered }: Props) {
  const chosen = chosenDatasets.value.includes(dataset.id);
  const template = templates.value[dataset.id] ?? "";
  const canShoot = offered.find(({ name }) => name === (template || dataset.template))?.shot != null;
  return (
    <li>
      <label class="check">
        <input
          type="checkbox"
          checked={chosen}
          onChange={() => {
            chosenDatasets.value = toggled(chosenDatasets.value, dataset.id);
          }}
        />
        <span class="dataset-name">{dataset.name}</span>
        <span class="small soft">
          {formatCount(dataset.samples)} {dataset.samples === 1 ? "sample" : "samples"}
          {dataset.template && ` · ${dataset.template}`}
        </span>
      </label>
      {chosen && (
        <div class="dataset-options">
          <label class="small">
            Prompt{" "}
            <select value={template} onChange={(event) => setTemplate(dataset.id, event.currentTarget.value)}>
              <option value="">{dataset.template ?? "the text as it is"}</option>
              {offered.map(({ name, purpose }) => (
                <option key={name} value={name} title={purpose}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          {canShoot && (
            <label class="small">
              Solved examples{" "}
              <input
                type="number"
                min={0}
                max={64}
                value={shots.value[dataset.id] ?? 0}
                onInput={(event) => setShots(dataset.id, event.currentTarget.valueAsNumber || 0)}
              />
            </label>
          )}
        </div>
      )}
    </li>
  );
}
