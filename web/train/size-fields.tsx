import { type Architecture, architectureWords, type TrainForm } from "./train-form.ts";

interface SizeFieldsProps {
  readonly form: TrainForm;
  readonly dModel: number | null;
  change(changes: Partial<TrainForm>): void;
}

export function SizeFields({ form, dModel, change }: SizeFieldsProps) {
  const number = (field: "width" | "k" | "tokens" | "batchTokens" | "seed", label: string, hint: string) => (
    <div class="field">
      <label for={`train-${field}`}>{label}</label>
      <input
        id={`train-${field}`}
        type="number"
        min={field === "seed" ? 0 : 1}
        value={form[field]}
        onInput={(event) => change({ [field]: event.currentTarget.valueAsNumber })}
      />
      <span class="field-hint">{hint}</span>
    </div>
  );
  const times =
    dModel === null ? "features per sae" : `features per sae, ${Number((form.width / dModel).toFixed(1))} × d`;
  return (
    <section class="panel" aria-label="Size">
      <div class="train-row">
        {number("width", "Width", times)}
        {number("k", "k", form.architecture === "jumprelu" ? "active per token, the target" : "active per token")}
        {number("tokens", "Tokens", "to learn from")}
      </div>
      <div class="field">
        <label for="train-architecture">Architecture</label>
        <select
          id="train-architecture"
          value={form.architecture}
          onChange={(event) => change({ architecture: event.currentTarget.value as Architecture })}
        >
          {Object.entries(architectureWords).map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </div>
      <details>
        <summary class="small">Name, batch, seed</summary>
        <div class="train-row">
          <div class="field">
            <label for="train-name">Name</label>
            <input
              id="train-name"
              value={form.name}
              placeholder="the job's id"
              spellcheck={false}
              autocomplete="off"
              onInput={(event) => change({ name: event.currentTarget.value })}
            />
            <span class="field-hint">its saes become name-layer0, …</span>
          </div>
          {number("batchTokens", "Batch", "tokens per step")}
          {number("seed", "Seed", "same seed, same sae")}
        </div>
      </details>
    </section>
  );
}
