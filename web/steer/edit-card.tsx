import { useState } from "preact/hooks";
import type { SteeringOp, SteeringUnit } from "../../domain/steering.ts";
import type { Sae } from "../api/catalog.ts";
import { FeatureFinder } from "./feature-finder.tsx";
import { FeatureName } from "./feature-name.tsx";
import { ScopeFields } from "./scope-fields.tsx";
import { type EditForm, opWords, rangeOf, unitWords, withOp, withValue } from "./steer-form.ts";

interface EditCardProps {
  readonly number: number;
  readonly edit: EditForm;
  readonly saes: readonly Sae[];
  put(edit: EditForm): void;
  readonly remove: (() => void) | null;
}

export function EditCard({ number, edit, saes, put, remove }: EditCardProps) {
  const [finding, setFinding] = useState(false);
  const id = `edit-${number}`;
  const { units, means } = opWords[edit.op];
  return (
    <fieldset class="panel edit-card">
      <legend class="visually-hidden">{`Edit ${number}`}</legend>
      <div class="edit-head">
        <label for={`${id}-feature`}>{`Feature of edit ${number}`}</label>
        <span class="button-row">
          <button type="button" class="button" aria-expanded={finding} onClick={() => setFinding(!finding)}>
            {finding ? "Close" : "Find"}
          </button>
          {remove && (
            <button type="button" class="button quiet" aria-label={`Remove edit ${number}`} onClick={remove}>
              Remove
            </button>
          )}
        </span>
        <input
          id={`${id}-feature`}
          value={edit.feature}
          placeholder="sae:number"
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => put({ ...edit, feature: event.currentTarget.value })}
        />
      </div>
      {!finding && <FeatureName reference={edit.feature} />}
      {finding && (
        <FeatureFinder
          saes={saes}
          choose={(feature) => {
            put({ ...edit, feature });
            setFinding(false);
          }}
        />
      )}
      <div class="steer-row">
        <div class="field">
          <label for={`${id}-op`}>What to do</label>
          <select
            id={`${id}-op`}
            value={edit.op}
            onChange={(event) => put(withOp(edit, event.currentTarget.value as SteeringOp))}
          >
            {Object.entries(opWords).map(([op, { title }]) => (
              <option key={op} value={op}>
                {title}
              </option>
            ))}
          </select>
        </div>
        {units.length > 0 && (
          <div class="field">
            <label for={`${id}-unit`}>Measured in</label>
            <select
              id={`${id}-unit`}
              value={edit.unit}
              onChange={(event) =>
                put(withValue({ ...edit, unit: event.currentTarget.value as SteeringUnit }, edit.value))
              }
            >
              {units.map((unit) => (
                <option key={unit} value={unit}>
                  {unitWords[unit]}
                </option>
              ))}
            </select>
          </div>
        )}
      </div>
      <Strength id={id} edit={edit} put={put} />
      <p class="field-hint">{`${opWords[edit.op].title} ${means}.`}</p>
      <ScopeFields id={id} edit={edit} saes={saes} put={put} />
    </fieldset>
  );
}

function Strength({ id, edit, put }: { readonly id: string } & Pick<EditCardProps, "edit" | "put">) {
  const range = rangeOf(edit);
  if (range === null) return null;
  const [min, max] = range;
  const step = max - min > 20 ? 0.5 : 0.05;
  return (
    <div class="field">
      <label for={`${id}-strength`}>Strength</label>
      <div class="strength">
        <input
          id={`${id}-strength`}
          type="range"
          min={min}
          max={max}
          step={step}
          value={edit.value}
          onInput={(event) => put({ ...edit, value: event.currentTarget.valueAsNumber })}
        />
        <input
          type="number"
          aria-label="Strength as a number"
          step={step}
          value={edit.value}
          onInput={(event) => {
            const value = event.currentTarget.valueAsNumber;
            if (Number.isFinite(value)) put({ ...edit, value });
          }}
        />
      </div>
    </div>
  );
}
