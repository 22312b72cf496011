// Addresses: `#/page/rest/of/path?query`. The part after # never reaches a server.
import { computed, signal } from "@preact/signals";

const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
});

export interface Place {
  readonly page: string;
  /** What follows the page's name, decoded. */
  readonly rest: readonly string[];
  readonly query: URLSearchParams;
}

export function parsePlace(text: string): Place {
  const [path = "", query = ""] = text.replace(/^#\/?/, "").split("?", 2);
  const [page = "", ...rest] = path.split("/").filter(Boolean).map(decode);
  return { page, rest, query: new URLSearchParams(query) };
}

export const place = computed(() => parsePlace(hash.value));

/** The address of a place, for `href`. */
export function linkTo(
  page: string,
  rest: readonly string[] = [],
  query: Readonly<Record<string, string>> = {},
): string {
  const path = [page, ...rest].map(encodeURIComponent).join("/");
  const search = new URLSearchParams(query).toString();
  return `#/${path}${search === "" ? "" : `?${search}`}`;
}

export function goTo(address: string, options: { readonly replace?: boolean } = {}): void {
  if (!options.replace) {
    location.hash = address;
    return;
  }
  history.replaceState(null, "", address);
  hash.value = location.hash;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
