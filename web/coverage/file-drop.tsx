import { useState } from "preact/hooks";
import { announce } from "../elements/announcer.tsx";
import { FileCard } from "./file-card.tsx";
import { addFiles, isReady, pendingFiles, sendAll } from "./file-state.ts";
import { useTemplates } from "./use-templates.ts";

const accepted = ".jsonl,.json,.ndjson,.csv,.tsv,.parquet,.txt,.gz";

/** So many cards show their rows without being asked. */
const fewFiles = 2;

/** Files dropped here, or chosen by a button that works without a mouse. */
export function FileDrop({ onAdded }: { readonly onAdded: () => void }) {
  const [over, setOver] = useState(false);
  const templates = useTemplates();
  const ready = pendingFiles.value.filter(isReady).length;
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
      {ready > 1 && (
        <button type="button" class="button primary add-all" onClick={() => sendAll().then(onAdded)}>
          Add all {ready} files to the comparison
        </button>
      )}
      {pendingFiles.value.map((pending) => (
        <FileCard
          key={pending.key}
          pending={pending}
          templates={templates}
          open={pendingFiles.value.length <= fewFiles}
          onAdded={onAdded}
        />
      ))}
    </>
  );
}
