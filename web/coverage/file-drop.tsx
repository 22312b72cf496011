import { useState } from "preact/hooks";
import { announce } from "../elements/announcer.tsx";
import { FileCard } from "./file-card.tsx";
import { addFiles, pendingFiles } from "./file-state.ts";
import { useTemplates } from "./use-templates.ts";

const accepted = ".jsonl,.json,.ndjson,.csv,.tsv,.parquet,.txt,.gz";

/** Files dropped here, or chosen by a button that works without a mouse. */
export function FileDrop({ onAdded }: { readonly onAdded: () => void }) {
  const [over, setOver] = useState(false);
  const templates = useTemplates();
  const take = (list: FileList | null | undefined) => {
    const files = [...(list ?? [])];
    if (files.length === 0) return;
    announce(`${files.length === 1 ? "1 file" : `${files.length} files`} taken`);
    addFiles(files);
  };
  return (
    <>
      <label
        class={`file-drop${over ? " over" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          take(event.dataTransfer?.files);
        }}
      >
        <input
          class="visually-hidden"
          type="file"
          multiple
          accept={accepted}
          onChange={(event) => {
            take(event.currentTarget.files);
            event.currentTarget.value = "";
          }}
        />
        <span class="file-drop-words">
          <strong>Drop benchmark files</strong> or <u>choose them</u>
        </span>
        <span class="small soft">JSON Lines, CSV, TSV, Parquet or text, gzipped or not, as they were published</span>
      </label>
      {pendingFiles.value.map((pending) => (
        <FileCard key={pending.key} pending={pending} templates={templates} onAdded={onAdded} />
      ))}
    </>
  );
}
