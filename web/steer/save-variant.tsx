import { useState } from "preact/hooks";
import { answered, client, idempotencyKey } from "../api/client.ts";
import { type ProblemDetails, problemOf } from "../api/problem.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { editsOf, missingFrom, type SteerForm } from "./steer-form.ts";

interface SaveVariantProps {
  readonly form: SteerForm;
  readonly modelId: string | null;
  /** Called when there is a new one. */
  saved(): void;
}

/** Model and edits under a name that any OpenAI client can use as `model`. */
export function SaveVariant({ form, modelId, saved }: SaveVariantProps) {
  const [name, setName] = useState("");
  const [said, setSaid] = useState("");
  const [problem, setProblem] = useState<ProblemDetails | null>(null);
  const edits = editsOf(form);
  if (modelId === null || edits.length === 0 || missingFrom({ ...form, prompt: "any" }) !== null) return null;

  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    setProblem(null);
    setSaid("");
    try {
      const body = { name: name.trim(), model_id: modelId, steering: { edits } };
      const params = { header: { "Idempotency-Key": idempotencyKey() } };
      const variant = await answered(client.POST("/v1/variants", { params, body }));
      setSaid(`Saved. Requests with "model": "${variant.name}" are steered so.`);
      saved();
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  return (
    <details class="panel folded">
      <summary>
        <h2>Save as a variant</h2>
      </summary>
      <form class="save-variant" onSubmit={save}>
        <div class="field">
          <label for="variant-name">Name</label>
          <input
            id="variant-name"
            value={name}
            required
            placeholder="demo-chinese"
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </div>
        <button type="submit" class="button" disabled={name.trim() === ""}>
          Save
        </button>
      </form>
      <p class="field-hint" role="status">
        {said}
      </p>
      {problem && <ProblemNotice problem={problem} />}
    </details>
  );
}
