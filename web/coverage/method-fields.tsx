import type { Model, Sae } from "../api/catalog.ts";
import { chosenModel, chosenSaes, middleSae, type Position, position, sampleCap, toggled } from "./setup-state.ts";

const positions: readonly { readonly value: Position; readonly words: string; readonly hint: string }[] = [
  { value: "last", words: "Last token", hint: "what the model holds when it is about to answer; the paper's choice" },
  { value: "mean", words: "Mean", hint: "the features of the mean over the prompt" },
  { value: "any", words: "Any token", hint: "every feature that fires somewhere in the prompt" },
];

export function MethodFields({ models, saes }: { readonly models: readonly Model[]; readonly saes: readonly Sae[] }) {
  const offered = saes.filter(({ model_id }) => model_id === chosenModel.value);
  const chooseModel = (id: string) => {
    chosenModel.value = id;
    const first = middleSae(saes.filter(({ model_id }) => model_id === id));
    chosenSaes.value = first === null ? [] : [first.id];
  };
  return (
    <div class="method">
      <label class="field">
        <span class="field-label">Model</span>
        <select value={chosenModel.value ?? ""} onChange={(event) => chooseModel(event.currentTarget.value)}>
          {models.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <fieldset class="field">
        <legend>Saes</legend>
        {offered.length === 0 && <p class="small soft">This model has no sae yet.</p>}
        <div class="sae-list">
          {offered.map(({ id, name, layer, width }) => (
            <label key={id} class="check">
              <input
                type="checkbox"
                checked={chosenSaes.value.includes(id)}
                onChange={() => {
                  chosenSaes.value = toggled(chosenSaes.value, id);
                }}
              />
              <span class="dataset-name">{name}</span>
              <span class="small soft">
                layer {layer}, {width} features
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      <fieldset class="field">
        <legend>A sample stands for</legend>
        {positions.map(({ value, words, hint }) => (
          <label key={value} class="check top">
            <input
              type="radio"
              name="position"
              checked={position.value === value}
              onChange={() => {
                position.value = value;
              }}
            />
            <span>
              {words} <span class="small soft">{hint}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <label class="field">
        <span class="field-label">At most so many samples of each</span>
        <input
          type="number"
          min={1}
          placeholder="all"
          value={sampleCap.value ?? ""}
          onInput={(event) => {
            const count = event.currentTarget.valueAsNumber;
            sampleCap.value = Number.isFinite(count) && count >= 1 ? Math.floor(count) : null;
          }}
        />
      </label>
    </div>
  );
}
