import type { Sae } from "../api/catalog.ts";
import type { EditForm, GenerationScope, PromptScope } from "./steer-form.ts";

interface ScopeFieldsProps {
  readonly id: string;
  readonly edit: EditForm;
  readonly saes: readonly Sae[];
  put(edit: EditForm): void;
}

const promptScopes: Readonly<Record<PromptScope, string>> = {
  all: "every token of the prompt",
  last: "the prompt's last token",
  none: "no token of the prompt",
};

const scopes: Readonly<Record<GenerationScope, string>> = {
  none: "no token of the answer",
  all: "every token of the answer",
  window: "a part of the answer",
};

export function ScopeFields({ id, edit, put }: ScopeFieldsProps) {
  const isGated = edit.gate !== "";
  return (
    <details class="scope" open={isGated || edit.generation === "window"}>
      <summary>{`Where: ${inWords(edit)}`}</summary>
      <div class="scope-fields">
        <div class="field">
          <label for={`${id}-prompt`}>Of the prompt</label>
          <select
            id={`${id}-prompt`}
            value={edit.prompt}
            onChange={(event) => put({ ...edit, prompt: event.currentTarget.value as PromptScope })}
          >
            {Object.entries(promptScopes).map(([scope, words]) => (
              <option key={scope} value={scope}>
                {words}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for={`${id}-generation`}>And of the answer</label>
          <select
            id={`${id}-generation`}
            value={edit.generation}
            onChange={(event) => put({ ...edit, generation: event.currentTarget.value as GenerationScope })}
          >
            {Object.entries(scopes).map(([scope, words]) => (
              <option key={scope} value={scope}>
                {words}
              </option>
            ))}
          </select>
        </div>
        {edit.generation === "window" && <WindowFields id={id} edit={edit} put={put} />}
        <div class="steer-row">
          <div class="field">
            <label for={`${id}-gate`}>Only where this feature is active</label>
            <input
              id={`${id}-gate`}
              class="mono"
              value={edit.gate}
              placeholder="anywhere"
              spellcheck={false}
              autocomplete="off"
              onInput={(event) => put({ ...edit, gate: event.currentTarget.value })}
            />
          </div>
          {isGated && (
            <div class="field narrow">
              <label for={`${id}-above`}>above</label>
              <input
                id={`${id}-above`}
                type="number"
                min={0}
                step={0.1}
                value={edit.above}
                onInput={(event) => put({ ...edit, above: Math.max(0, event.currentTarget.valueAsNumber || 0) })}
              />
            </div>
          )}
        </div>
      </div>
    </details>
  );
}

function WindowFields({ id, edit, put }: Pick<ScopeFieldsProps, "id" | "edit" | "put">) {
  const whole = (value: number) => (Number.isFinite(value) ? Math.max(0, Math.round(value)) : null);
  return (
    <div class="steer-row">
      <div class="field">
        <label for={`${id}-from`}>From token</label>
        <input
          id={`${id}-from`}
          type="number"
          min={0}
          value={edit.from}
          onInput={(event) => put({ ...edit, from: whole(event.currentTarget.valueAsNumber) ?? 0 })}
        />
      </div>
      <div class="field">
        <label for={`${id}-to`}>to (not included)</label>
        <input
          id={`${id}-to`}
          type="number"
          min={1}
          value={edit.to ?? ""}
          placeholder="the end"
          onInput={(event) => put({ ...edit, to: whole(event.currentTarget.valueAsNumber) })}
        />
      </div>
    </div>
  );
}

function inWords({ prompt, generation, from, to, gate }: EditForm): string {
  const answer = generation === "window" ? `tokens ${from} to ${to ?? "the end"} of the answer` : scopes[generation];
  const parts = [prompt === "none" ? null : promptScopes[prompt], generation === "none" ? null : answer];
  const where = parts.filter((part) => part !== null).join(" and ") || "nowhere";
  return gate === "" ? where : `${where}, gated`;
}
