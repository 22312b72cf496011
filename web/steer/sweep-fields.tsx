import { useDatasets } from "../api/catalog.ts";
import type { SteerForm } from "./steer-form.ts";
import { promptsForVerdict, promptsOf, type SweepForm } from "./sweep-form.ts";

interface SweepFieldsProps {
  readonly sweep: SweepForm;
  readonly form: SteerForm;
  change(changes: Partial<SweepForm>): void;
}

const scripts = ["Han", "Latin", "Cyrillic", "Arabic", "Hiragana", "Hangul", "Devanagari", "Greek", "Hebrew", "Thai"];

export function SweepFields({ sweep, form, change }: SweepFieldsProps) {
  return (
    <div class="sweep-fields">
      <div class="steer-row">
        <div class="field">
          <label for="sweep-goal">The text shall</label>
          <select
            id="sweep-goal"
            value={`${sweep.goal}-${sweep.direction}`}
            onChange={(event) => {
              const [goal, direction] = event.currentTarget.value.split("-") as ["script" | "regex", "more" | "less"];
              change({ goal, direction });
            }}
          >
            <option value="script-more">be in a script</option>
            <option value="script-less">not be in a script</option>
            <option value="regex-more">match a pattern</option>
            <option value="regex-less">not match a pattern</option>
          </select>
        </div>
        {sweep.goal === "script" ? (
          <div class="field">
            <label for="sweep-script">Script</label>
            <select
              id="sweep-script"
              value={sweep.script}
              onChange={(event) => change({ script: event.currentTarget.value })}
            >
              {scripts.map((script) => (
                <option key={script} value={script}>
                  {script}
                </option>
              ))}
            </select>
          </div>
        ) : (
          <div class="field">
            <label for="sweep-pattern">Pattern (RE2)</label>
            <input
              id="sweep-pattern"
              class="mono"
              value={sweep.pattern}
              spellcheck={false}
              onInput={(event) => change({ pattern: event.currentTarget.value })}
            />
          </div>
        )}
        <div class="field">
          <label for="sweep-strengths">Strengths</label>
          <input
            id="sweep-strengths"
            value={sweep.strengths}
            onInput={(event) => change({ strengths: event.currentTarget.value })}
          />
        </div>
      </div>
      <PromptSource sweep={sweep} form={form} change={change} />
    </div>
  );
}

function PromptSource({ sweep, form, change }: SweepFieldsProps) {
  const datasets = useDatasets();
  const count = sweep.datasetId === "" ? promptsOf(sweep, form).length : sweep.promptLimit;
  return (
    <>
      <div class="steer-row">
        <div class="field">
          <label for="sweep-source">Prompts</label>
          <select
            id="sweep-source"
            value={sweep.datasetId}
            onChange={(event) => change({ datasetId: event.currentTarget.value })}
          >
            <option value="">written here</option>
            {datasets.value?.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </div>
        {sweep.datasetId !== "" && (
          <div class="field narrow">
            <label for="sweep-limit">How many</label>
            <input
              id="sweep-limit"
              type="number"
              min={1}
              max={1000}
              value={sweep.promptLimit}
              onInput={(event) => change({ promptLimit: Math.max(1, event.currentTarget.valueAsNumber || 1) })}
            />
          </div>
        )}
      </div>
      {sweep.datasetId === "" && (
        <div class="field">
          <label for="sweep-prompts">Prompts, one a line</label>
          <textarea
            id="sweep-prompts"
            rows={4}
            dir="auto"
            value={sweep.prompts}
            placeholder={form.prompt}
            onInput={(event) => change({ prompts: event.currentTarget.value })}
          />
        </div>
      )}
      <p class="field-hint">
        {`${count} ${count === 1 ? "prompt" : "prompts"}. `}
        {count < promptsForVerdict && `From ${promptsForVerdict} on, half of them judge what the other half chose.`}
      </p>
    </>
  );
}
