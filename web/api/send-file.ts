// Uploads that show how far they are: fetch cannot say, XMLHttpRequest can.
import { authorization, keyRefused } from "./credentials.ts";
import { problemFromBody, RequestFailed, unreachable } from "./problem.ts";

interface Sending {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** A share of the bytes, 0 to 1. */
  readonly progress?: (share: number) => void;
}

/** Posts a form; the answer's JSON, or RequestFailed. */
export function sendForm<T>(
  path: string,
  form: FormData,
  { headers = {}, signal, progress }: Sending = {},
): Promise<T> {
  const request = new XMLHttpRequest();
  request.open("POST", path);
  for (const [name, value] of Object.entries({ ...authorization(), ...headers })) request.setRequestHeader(name, value);
  return new Promise<T>((resolve, reject) => {
    request.upload.onprogress = ({ loaded, total }) => progress?.(total === 0 ? 1 : loaded / total);
    request.onerror = () => reject(new RequestFailed(unreachable()));
    request.onabort = () => reject(signal?.reason);
    request.onload = () => {
      if (request.status === 401) keyRefused();
      const body = parseJson(request.responseText);
      if (request.status >= 200 && request.status < 300) return resolve(body as T);
      const id = request.getResponseHeader("x-request-id");
      const response = new Response(null, {
        status: request.status,
        statusText: request.statusText,
        headers: id === null ? {} : { "x-request-id": id },
      });
      reject(new RequestFailed(problemFromBody(body, response)));
    };
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
