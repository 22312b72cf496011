import type { Dataset, Model } from "../api/catalog.ts";
import type { TrainForm } from "./train-form.ts";

interface SourceFieldsProps {
  readonly form: TrainForm;
  readonly models: readonly Model[];
  readonly datasets: readonly Dataset[];
  /** How many the model has. */
  readonly layers: number;
  change(changes: Partial<TrainForm>): void;
}

export function SourceFields({ form, models, datasets, layers, change }: SourceFieldsProps) {
  const toggle = (layer: number) => {
    const rest = form.layers.filter((one) => one !== layer);
    change({ layers: rest.length < form.layers.length ? rest : [...rest, layer].sort((a, b) => a - b) });
  };
  return (
    <section class="panel" aria-label="Source">
      <div class="train-row">
        <div class="field">
          <label for="train-model">Model</label>
          <select
            id="train-model"
            value={form.modelId}
            onChange={(event) => change({ modelId: event.currentTarget.value, layers: [] })}
          >
            <option value="">choose…</option>
            {models.map(({ id, name, layers: count, d_model }) => (
              <option key={id} value={id}>{`${name} · ${count} layers, d ${d_model}`}</option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="train-dataset">Texts</label>
          <select
            id="train-dataset"
            value={form.datasetId}
            onChange={(event) => change({ datasetId: event.currentTarget.value })}
          >
            <option value="">choose…</option>
            {datasets.map(({ id, name, samples }) => (
              <option key={id} value={id}>{`${name} · ${samples.toLocaleString("en")} samples`}</option>
            ))}
          </select>
        </div>
      </div>
      {layers > 0 && (
        <fieldset class="field">
          <legend>Layers, an sae each</legend>
          <div class="layer-choice">
            {Array.from({ length: layers }, (_, layer) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a layer is its number
              <label key={layer} class="layer">
                <input type="checkbox" checked={form.layers.includes(layer)} onChange={() => toggle(layer)} />
                <span>{layer}</span>
              </label>
            ))}
          </div>
        </fieldset>
      )}
    </section>
  );
}
