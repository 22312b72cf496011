import { useState } from "preact/hooks";
import { saveFrom } from "../api/download.ts";
import { problemOf } from "../api/problem.ts";

/** Downloads an artifact under a name. */
export function ArtifactButton({ id, name }: { readonly id: string; readonly name: string }) {
  const [failure, setFailure] = useState<string | null>(null);
  const save = () => {
    setFailure(null);
    saveFrom(`/v1/artifacts/${id}/content`, name).catch((error: unknown) => setFailure(problemOf(error).detail));
  };
  return (
    <>
      <button type="button" class="button quiet" onClick={save}>
        <span class="visually-hidden">Download </span>
        {name}
      </button>
      {failure && (
        <span class="field-error" role="alert">
          {failure}
        </span>
      )}
    </>
  );
}
