import { useState } from "preact/hooks";
import { apiKey } from "../api/credentials.ts";
import { copyText } from "../elements/copy-text.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";
import { Segments } from "../elements/segments.tsx";
import { clientCode, type Language } from "./client-code.ts";
import { missingFrom, type SteerForm } from "./steer-form.ts";

const titles: Readonly<Record<Language, string>> = { curl: "curl", node: "Node", python: "Python" };

/** The request as a program, for the official openai packages or a terminal. */
export function CodePanel({ form }: { readonly form: SteerForm }) {
  const [language, setLanguage] = useState<Language>("curl");
  const [said, setSaid] = useState("");
  if (missingFrom(form) !== null) return null;
  const code = clientCode(language, form, { url: location.origin, needsKey: apiKey.value !== null });
  return (
    <details class="panel folded">
      <summary>
        <h2>The same from a program</h2>
      </summary>
      <div class="code-head">
        <Segments
          legend="Language"
          quiet
          name="code-language"
          options={titles}
          value={language}
          choose={(one) => {
            setLanguage(one);
            setSaid("");
          }}
        />
        <div class="button-row">
          <span class="small soft" role="status">
            {said}
          </span>
          <button
            type="button"
            class="button"
            onClick={async () => setSaid((await copyText(code)) ? "Copied." : "Select the text to copy it.")}
          >
            Copy
          </button>
        </div>
      </div>
      <ScrollBox label={`Code for ${titles[language]}`}>
        <pre>{code}</pre>
      </ScrollBox>
      {language !== "curl" && (
        <p class="field-hint">
          {language === "node" ? "Needs npm install openai; save it as a .mjs file." : "Needs pip install openai."}
        </p>
      )}
    </details>
  );
}
