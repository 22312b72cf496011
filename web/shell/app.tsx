import { useEffect, useRef } from "preact/hooks";
import { apiKey, forgetKey, keyWanted } from "../api/credentials.ts";
import { Announcer } from "../elements/announcer.tsx";
import { CurrentPage } from "./current-page.tsx";
import { KeyEntry } from "./key-entry.tsx";
import { pages } from "./pages.ts";
import { linkTo, place } from "./router.ts";
import { switchTheme, theme } from "./theme.ts";

export function App() {
  const main = useRef<HTMLElement>(null);
  const { page, rest, query } = place.value;
  const entry = pages.find(({ path }) => path === page) ?? (page === "" ? pages[0] : undefined);
  const title = entry?.title ?? "Not found";
  useEffect(() => {
    document.title = `${title} · Qwen-Scope`;
  }, [title]);
  return (
    <>
      <button type="button" class="skip-link" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header class="masthead">
        <a class="brand" href={linkTo(pages[0]?.path ?? "")}>
          <img src="/icon.svg" alt="" width="24" height="24" />
          Qwen-Scope
        </a>
        <nav aria-label="Pages" class="navigation">
          {pages.map(({ path, title: name }) => (
            <a key={path} href={linkTo(path)} aria-current={entry?.path === path ? "page" : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div class="masthead-tools">
          <a class="quiet-link" href="/docs">
            API
          </a>
          {apiKey.value !== null && (
            <button type="button" class="button quiet" onClick={forgetKey}>
              Forget key
            </button>
          )}
          <button type="button" class="button quiet" onClick={switchTheme}>
            {theme.value === "dark" ? "Light" : "Dark"}
            <span class="visually-hidden"> colours</span>
          </button>
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {keyWanted.value === null ? (
          <CurrentPage key={`${entry?.path}:${apiKey.value}`} entry={entry} rest={rest} query={query} />
        ) : (
          <KeyEntry why={keyWanted.value} />
        )}
      </main>
      <Announcer />
    </>
  );
}
