// Loads a page's code when it is first opened, and shows what a page could not.
import type { ComponentType } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { problemOf, RequestFailed, unreachable } from "../api/problem.ts";
import { useResource } from "../api/use-resource.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import type { PageProps } from "./page.ts";
import type { PageEntry } from "./pages.ts";

const loaded = new Map<string, ComponentType<PageProps>>();

export function CurrentPage({ entry, rest, query }: PageProps & { readonly entry: PageEntry | undefined }) {
  const [error, resetError] = useErrorBoundary();
  const known = entry === undefined ? undefined : loaded.get(entry.path);
  const waiting = entry === undefined || known !== undefined ? null : entry.path;
  const { problem, reload } = useResource(waiting, async () => {
    if (entry !== undefined) loaded.set(entry.path, await entry.load().catch(failToLoad));
    return true;
  });
  if (error) return <ProblemNotice problem={problemOf(error)} retry={resetError} />;
  if (problem) return <ProblemNotice problem={problem} retry={reload} />;
  if (entry === undefined) return <NoSuchPage />;
  const Page = loaded.get(entry.path);
  return Page === undefined ? <p class="loading">Loading…</p> : <Page rest={rest} query={query} />;
}

/** The browser says only which file it lacks: the server is away, or was renewed and has that file no more. */
function failToLoad(): never {
  const detail = "The code of this page did not arrive. If the server was renewed meanwhile, reload the page.";
  throw new RequestFailed({ ...unreachable(), detail });
}

function NoSuchPage() {
  return (
    <section class="empty">
      <h1>There is no such page</h1>
      <p>
        The address leads nowhere. <a href="#/">Go to the first page</a>
      </p>
    </section>
  );
}
