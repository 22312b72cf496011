import type { wellKnownColumns } from "../../domain/dataset.ts";
import { change, look, type PendingFile, type Preview } from "./file-state.ts";

/** What the fields of a sample are for. */
const meanings: readonly { readonly name: (typeof wellKnownColumns)[number]; readonly words: string }[] = [
  { name: "text", words: "Text" },
  { name: "question", words: "Question" },
  { name: "choices", words: "Choices" },
  { name: "answer", words: "Answer" },
  { name: "label", words: "Label" },
  { name: "id", words: "Id of the sample" },
];

/** Which column of the file plays which part. */
export function ColumnMap({
  pending,
  columns,
}: {
  readonly pending: PendingFile;
  readonly columns: Preview["columns"];
}) {
  const { key, mapping, preview } = pending;
  if (columns.length === 0) return null;
  const map = (name: string, column: string) => {
    const { [name]: _, ...others } = mapping;
    change(key, { mapping: column === "" ? others : { ...others, [name]: column } });
    look(key);
  };
  return (
    <fieldset class="column-map" aria-label="Columns">
      <p class="small soft">Which column of the file is which?</p>
      <div class="column-map-fields">
        {meanings.map(({ name, words }) => (
          <label key={name} class="field">
            <span class="field-label">{words}</span>
            <select value={mapping[name] ?? ""} onChange={(event) => map(name, event.currentTarget.value)}>
              <option value="">{preview?.mapping[name] ?? "by its name"}</option>
              {columns.map((column) => (
                <option key={column.name} value={column.name} title={column.examples[0]}>
                  {column.name}
                </option>
              ))}
            </select>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
