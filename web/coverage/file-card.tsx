import { formatBytes } from "../elements/format.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { ColumnMap } from "./column-map.tsx";
import { FilePreview } from "./file-preview.tsx";
import { change, isReady, look, type PendingFile, removeFile, send } from "./file-state.ts";
import type { Template } from "./use-templates.ts";

interface Props {
  readonly pending: PendingFile;
  readonly templates: readonly Template[];
  /** Whether its first rows are shown at once. */
  readonly open: boolean;
  readonly onAdded: () => void;
}

/** One file before it is sent: what it holds, how it will be read, what it will be called. */
export function FileCard({ pending, templates, open, onAdded }: Props) {
  const { key, file, name, preview, looking, mapping, template, sent, problem } = pending;
  const wrong = preview?.problem ?? null;
  const submit = async (event: Event) => {
    event.preventDefault();
    if ((await send(key)) !== null) onAdded();
  };
  return (
    <form class="file-card" aria-label={file.name} onSubmit={submit}>
      <div class="file-card-head">
        <h3>{file.name}</h3>
        <span class="small soft">{factsOf(pending)}</span>
        <button type="button" class="button quiet" onClick={() => removeFile(key)}>
          Remove<span class="visually-hidden"> {file.name}</span>
        </button>
      </div>
      {looking && preview === null && <p class="soft small">Reading…</p>}
      {problem && <ProblemNotice problem={problem} retry={() => look(key)} />}
      {wrong && <ProblemNotice problem={wrong} />}
      {preview && (
        <>
          <div class="file-card-fields">
            <label class="field">
              <span class="field-label">Name</span>
              <input
                value={name}
                required
                pattern="[a-z0-9][a-z0-9._\-]*"
                onInput={(event) => change(key, { name: event.currentTarget.value })}
              />
            </label>
            <label class="field">
              <span class="field-label">Prompt template</span>
              <select
                value={template}
                onChange={(event) => {
                  change(key, { template: event.currentTarget.value });
                  look(key);
                }}
              >
                <option value="">
                  {template === "" && preview.template ? `${preview.template} (recognised)` : "recognise"}
                </option>
                <option value="none">none: the text as it is</option>
                {templates.map(({ name: offered, purpose }) => (
                  <option key={offered} value={offered} title={purpose}>
                    {offered}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <details class="file-details" open={open || wrong !== null || Object.keys(mapping).length > 0}>
            <summary>Columns and first rows</summary>
            <ColumnMap pending={pending} columns={preview.columns} />
            <FilePreview preview={preview} />
          </details>
          <div class="button-row">
            <button type="submit" class="button primary" disabled={!isReady(pending)}>
              {sent === null ? "Add to the comparison" : "Sending…"}
            </button>
            {sent !== null && <progress aria-label="Sent" max={1} value={sent} />}
          </div>
        </>
      )}
    </form>
  );
}

function factsOf({ file, preview }: PendingFile): string {
  const size = formatBytes(file.size);
  return preview?.format ? `${preview.format}${preview.gzip ? ", gzipped" : ""} · ${size}` : size;
}
