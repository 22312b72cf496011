import { ScrollBox } from "../elements/scroll-box.tsx";
import type { Preview } from "./file-state.ts";

const shownRows = 2;
const shownLetters = 100;

/** The first samples as the file has them, and the first prompt as the model will read it. */
export function FilePreview({ preview }: { readonly preview: Preview }) {
  const names = preview.columns.map(({ name }) => name).filter((name) => !name.includes("."));
  const [prompt] = preview.prompts;
  return (
    <div class="file-preview">
      {preview.rows.length > 0 && (
        <ScrollBox label="First rows">
          <table>
            <thead>
              <tr>
                {names.map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {preview.rows.slice(0, shownRows).map((row) => (
                <tr key={JSON.stringify(row)}>
                  {names.map((name) => (
                    <td key={name}>{shortened(row[name])}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollBox>
      )}
      {prompt !== undefined && (
        <figure class="first-prompt">
          <figcaption class="small soft">The first prompt, as the model reads it</figcaption>
          <ScrollBox label="First prompt" class="prompt-box">
            <pre>{prompt}</pre>
          </ScrollBox>
        </figure>
      )}
    </div>
  );
}

function shortened(value: unknown): string {
  const text = value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return text.length > shownLetters ? `${text.slice(0, shownLetters)}…` : text;
}
