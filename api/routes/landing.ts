import { problemTable } from "../../domain/problem-table.ts";
import type { App } from "../context.ts";

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:3rem auto;padding:0 1rem;color:#1d2433}
a{color:#2350c4}code{background:#eef1f6;padding:.1em .3em;border-radius:3px}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #d5dbe6;padding:.4rem;text-align:left;vertical-align:top}`;

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>${style}</style></head><body>${body}</body></html>`;
}

const landing = page(
  "Qwen-Scope",
  `<h1>Qwen-Scope</h1><p>Sparse autoencoders as development tools for language models.</p>
<ul><li><a href="/docs">API reference</a></li><li><a href="/openapi.json">OpenAPI document</a></li>
<li><a href="/problems">Problem codes</a></li><li><a href="/v1/models">Models</a></li>
<li><a href="/readyz">Readiness</a>, <a href="/metrics">metrics</a></li></ul>`,
);

const problemPage = page(
  "Problem codes",
  `<h1>Problem codes</h1><table><tr><th>code</th><th>status</th><th>meaning</th><th>what to do</th></tr>${Object.entries(
    problemTable,
  )
    .map(
      ([code, entry]) =>
        `<tr id="${code.toLowerCase().replaceAll("_", "-")}"><td><code>${code}</code></td><td>${entry.status}</td><td>${escapeHtml(entry.title)}</td><td>${escapeHtml(entry.fix)}</td></tr>`,
    )
    .join("")}</table>`,
);

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const html = { "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'" };

/** What `/` is while the console has not been built. */
export async function landingRoutes(app: App): Promise<void> {
  app.get("/", { schema: { hide: true } }, async (_request, reply) =>
    reply.headers(html).type("text/html; charset=utf-8").send(landing),
  );
}

export async function problemPageRoutes(app: App): Promise<void> {
  app.get("/problems", { schema: { hide: true } }, async (_request, reply) =>
    reply.headers(html).type("text/html; charset=utf-8").send(problemPage),
  );
}
