import { startsWith } from "./bytes.ts";
import { PARQUET_MAGIC } from "./parquet.ts";
import { formatUnknown } from "./refusal.ts";

/** `json` is one array, `json_objects` one object after the other, over any number of lines. */
export type DatasetFormat = "jsonl" | "json" | "json_objects" | "csv" | "tsv" | "text" | "parquet";

const ENDINGS: Readonly<Record<string, DatasetFormat>> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "json",
  csv: "csv",
  tsv: "tsv",
  tab: "tsv",
  txt: "text",
  text: "text",
  md: "text",
  parquet: "parquet",
};

/** The format by the file's ending, else by its first character. A ".json" file may also hold objects, one after the other. */
export function formatOf(fileName: string, head: Uint8Array): DatasetFormat {
  if (startsWith(head, PARQUET_MAGIC)) return "parquet";
  const ending = /\.([a-z0-9]+)$/i.exec(fileName.replace(/\.gz(ip)?$/i, ""))?.[1]?.toLowerCase() ?? "";
  const first = String.fromCharCode(head.find((byte) => byte > 0x20 && byte < 0x7f) ?? 0);
  const named = ENDINGS[ending];
  if (named === "json" && first === "{") return "json_objects";
  if ((named === "csv" || named === "tsv") && looksLikeJson(head)) {
    throw formatUnknown(`"${fileName}" holds JSON, not ${named}: name it .jsonl (a row a line) or .json (one list)`);
  }
  if (named !== undefined) return named;
  if (first === "{") return "jsonl";
  if (first === "[") return "json";
  throw formatUnknown(
    `"${fileName}" does not tell its format: name it .jsonl, .json, .csv, .tsv, .txt or .parquet, with or without .gz`,
  );
}

/** The first bytes open an object with a quoted key, alone or in a list: no header of a table does. */
function looksLikeJson(head: Uint8Array): boolean {
  return /^\uFEFF?\s*\[?\s*\{\s*"/.test(new TextDecoder().decode(head));
}
