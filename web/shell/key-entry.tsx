import { useState } from "preact/hooks";
import { enterKey } from "../api/credentials.ts";

export function KeyEntry({ why }: { readonly why: "missing" | "invalid" }) {
  const [key, setKey] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    if (key.trim() !== "") enterKey(key.trim());
  };
  return (
    <section class="key-entry">
      <h1>This server asks for a key</h1>
      <p>It is kept in this tab until you close it, and sent to this server only.</p>
      <form onSubmit={submit}>
        <div class="field">
          <label for="api-key">API key</label>
          <input
            id="api-key"
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key}
            aria-invalid={why === "invalid"}
            aria-describedby={why === "invalid" ? "api-key-refused" : undefined}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
          {why === "invalid" && (
            <p id="api-key-refused" class="field-error" role="alert">
              The server did not accept this key. It may have expired or been revoked.
            </p>
          )}
        </div>
        <button type="submit" class="button primary">
          Continue
        </button>
      </form>
    </section>
  );
}
