// Files for the reader: what the API keeps, and what the console itself has made.

import { expectOk, fetchWithKey } from "./client.ts";
import { apiKey } from "./credentials.ts";

export function saveBlob(name: string, blob: Blob): void {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has taken it over by then.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export function saveText(name: string, text: string, contentType: string): void {
  saveBlob(name, new Blob([text], { type: contentType }));
}

/** Without a key the browser loads the file itself, whatever its size; a key can only be sent by fetch. */
export async function saveFrom(url: string, name: string): Promise<void> {
  if (apiKey.value !== null) return saveBlob(name, await (await expectOk(await fetchWithKey(url))).blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}
