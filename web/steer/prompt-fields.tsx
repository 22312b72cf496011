import type { Model, Variant } from "../api/catalog.ts";
import { Segments } from "../elements/segments.tsx";
import type { SteerForm } from "./steer-form.ts";

interface PromptFieldsProps {
  readonly form: SteerForm;
  readonly models: readonly Model[];
  readonly variants: readonly Variant[];
  change(changes: Partial<SteerForm>): void;
}

const modes = { raw: "Text", chat: "Chat" };

export function PromptFields({ form, models, variants, change }: PromptFieldsProps) {
  return (
    <section class="panel steer-prompt" aria-label="Prompt">
      <div class="steer-row">
        <div class="field">
          <label for="steer-model">Model</label>
          <select
            id="steer-model"
            value={form.model}
            onChange={(event) => change({ model: event.currentTarget.value })}
          >
            {form.model === "" && <option value="">choose…</option>}
            <optgroup label="Models">
              {models.map(({ id, name }) => (
                <option key={id} value={name}>
                  {name}
                </option>
              ))}
            </optgroup>
            {variants.length > 0 && (
              <optgroup label="Variants (already steered)">
                {variants.map(({ id, name }) => (
                  <option key={id} value={name}>
                    {name}
                  </option>
                ))}
              </optgroup>
            )}
          </select>
        </div>
        <Segments
          legend="Read it as"
          name="steer-mode"
          options={modes}
          value={form.mode}
          choose={(mode) => change({ mode })}
        />
      </div>
      {form.mode === "chat" && (
        <div class="field">
          <label for="steer-system">System message</label>
          <input
            id="steer-system"
            value={form.system}
            placeholder="none"
            onInput={(event) => change({ system: event.currentTarget.value })}
          />
        </div>
      )}
      <div class="field">
        <label for="steer-prompt">Prompt</label>
        <textarea
          id="steer-prompt"
          rows={3}
          dir="auto"
          value={form.prompt}
          onInput={(event) => change({ prompt: event.currentTarget.value })}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
          }}
        />
        <span class="field-hint">Ctrl + Enter runs it.</span>
      </div>
      <SamplingFields form={form} change={change} />
    </section>
  );
}

function SamplingFields({ form, change }: Pick<PromptFieldsProps, "form" | "change">) {
  const number = (id: keyof SteerForm & string, label: string, limits: { min: number; max: number; step: number }) => (
    <div class="field">
      <label for={`steer-${id}`}>{label}</label>
      <input
        id={`steer-${id}`}
        type="number"
        {...limits}
        value={form[id] as number}
        onInput={(event) => {
          const value = event.currentTarget.valueAsNumber;
          if (Number.isFinite(value)) change({ [id]: value });
        }}
      />
    </div>
  );
  return (
    <div class="steer-row thirds">
      {number("maxTokens", "New tokens", { min: 1, max: 4096, step: 1 })}
      {number("temperature", "Temperature", { min: 0, max: 2, step: 0.1 })}
      {number("seed", "Seed", { min: 0, max: 2 ** 31, step: 1 })}
    </div>
  );
}
