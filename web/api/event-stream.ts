// Server-sent events over fetch, because EventSource sends neither a key nor a body.
import { expectOk, fetchWithKey } from "./client.ts";

export interface StreamedEvent {
  readonly id: string | null;
  readonly event: string;
  readonly data: string;
}

/** The events of one answer, until it ends or `signal` aborts. Throws RequestFailed when it is refused. */
export async function* readEvents(path: string, init: RequestInit = {}): AsyncGenerator<StreamedEvent> {
  const headers = new Headers(init.headers);
  headers.set("accept", "text/event-stream");
  const response = await expectOk(await fetchWithKey(path, { ...init, headers }));
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseBlock(block);
        if (event !== null) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function parseBlock(block: string): StreamedEvent | null {
  let id: string | null = null;
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id") id = value;
  }
  return data.length === 0 ? null : { id, event, data: data.join("\n") };
}
