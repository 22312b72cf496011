// A real browser on the running console: pages in both themes and sizes, what a page logged, axe, screenshots.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";
import { describe, expect, inject } from "vitest";

const running = inject("runningConsole");
const pictures = "tests/output/console";
const sizes = { desktop: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } } as const;
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export type Size = keyof typeof sizes;
export type Scheme = "light" | "dark";

/** Runs where a Chromium is installed; elsewhere the tests are skipped, and their group's name says what would lift it. */
export const describeConsole = (title: string, body: () => void) =>
  running === null
    ? describe.skip(`${title} (skipped: no Chromium; install it or set CHROMIUM_PATH)`, body)
    : describe(title, body);

export interface OpenPage {
  readonly page: Page;
  /** Shows a place of the console, "#/jobs", and waits for its heading. */
  goTo(address: string): Promise<void>;
  close(): Promise<void>;
}

export interface Console {
  readonly url: string;
  readonly locked: { readonly url: string; readonly key: string };
  open(options?: { readonly size?: Size; readonly scheme?: Scheme; readonly url?: string }): Promise<OpenPage>;
  close(): Promise<void>;
}

export async function openConsole(): Promise<Console> {
  if (running === null) throw new Error("no Chromium");
  const { url, locked } = running;
  const browser: Browser = await chromium.launch({
    executablePath: running.chromium,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  return {
    url,
    locked,
    async open({ size = "desktop", scheme = "light", url: address = url } = {}) {
      const context = await browser.newContext({
        viewport: sizes[size],
        colorScheme: scheme,
        acceptDownloads: true,
        hasTouch: size === "phone",
        reducedMotion: "reduce",
      });
      const page = await context.newPage();
      page.setDefaultTimeout(180_000);
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("console", (message) => {
        // The browser logs every refused request, and a refusal is what some tests are about.
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
          complaints.push(message.text());
      });
      return {
        page,
        async goTo(place) {
          await page.goto(`${address}/${place}`);
          await page.locator("main h1").first().waitFor();
        },
        async close() {
          await context.close();
          expect(complaints, "what the page complained about").toEqual([]);
        },
      };
    },
    close: () => browser.close(),
  };
}

/** Fails on violations that axe calls serious or critical, and on a page that scrolls sideways. */
export async function expectAccessible(page: Page): Promise<void> {
  if (!(await page.evaluate("typeof axe === 'object'"))) await page.evaluate(axeSource);
  const found = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as {
    violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
  };
  const serious = found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(
      ({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n")}`,
    );
  expect(serious).toEqual([]);
  expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth"), "sideways").toBeLessThanOrEqual(0);
}

/** Into tests/output/console, which git ignores. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
}
