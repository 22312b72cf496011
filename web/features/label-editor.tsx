import { useState } from "preact/hooks";
import type { FeatureDetail } from "../../domain/feature.ts";
import { type ProblemDetails, problemOf } from "../api/problem.ts";
import { announce } from "../elements/announcer.tsx";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { saveLabel } from "./feature-api.ts";

interface LabelEditorProps {
  readonly feature: FeatureDetail;
  saved(feature: FeatureDetail): void;
}

const sources = { human: "written by a person", model: "written by a model", import: "from an imported file" } as const;

export function LabelEditor({ feature, saved }: LabelEditorProps) {
  const { label } = feature;
  const [text, setText] = useState(label?.text ?? "");
  const [saving, setSaving] = useState(false);
  const [problem, setProblem] = useState<ProblemDetails | null>(null);
  const wanted = text.trim();
  const unchanged = wanted === (label?.text ?? "");
  const save = async (next: string | null) => {
    setSaving(true);
    setProblem(null);
    try {
      const answer = await saveLabel(feature.sae_id, feature.index, next);
      setText(answer.label?.text ?? "");
      saved({ ...feature, label: answer.label });
      announce(next === null ? "Label removed." : "Label saved.");
    } catch (error) {
      setProblem(problemOf(error));
    }
    setSaving(false);
  };
  return (
    <form
      class="panel label-editor"
      aria-label="Label"
      onSubmit={(event) => {
        event.preventDefault();
        if (!unchanged && wanted !== "") void save(wanted);
      }}
    >
      <div class="field">
        <label for="feature-label">Label</label>
        <textarea
          id="feature-label"
          rows={2}
          value={text}
          placeholder="What do its examples have in common?"
          aria-invalid={problem !== null}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        {label && (
          <span class="field-hint">
            {sources[label.source]}
            {label.score !== null && `, predicts its activations with a score of ${label.score.toFixed(2)}`}
          </span>
        )}
      </div>
      <div class="button-row">
        <button type="submit" class="button" disabled={saving || unchanged || wanted === ""}>
          Save label
        </button>
        {label && (
          <button type="button" class="button quiet" disabled={saving} onClick={() => save(null)}>
            Remove
          </button>
        )}
      </div>
      {problem && <ProblemNotice problem={problem} />}
    </form>
  );
}
