import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Console, describeConsole, expectAccessible, openConsole, picture } from "./console.ts";

const built = "web/dist";
const limitBytes = 200_000;

describeConsole("the console's shell", () => {
  let browser: Console;
  beforeAll(async () => {
    browser = await openConsole();
  });
  afterAll(() => browser.close());

  test("the first load is at most 200 kB gzipped, whatever page it opens", async () => {
    const { page, close } = await browser.open();
    const sizes = new Map<string, number>();
    for (const name of ["coverage", "steer", "features", "train", "jobs"]) {
      const loaded: string[] = [];
      page.on("requestfinished", (request) => loaded.push(new URL(request.url()).pathname));
      await page.goto(`${browser.url}/#/${name}`);
      await page.reload();
      await page.locator("main h1").first().waitFor();
      const files = [...new Set(loaded)].filter((path) => !path.startsWith("/v1"));
      sizes.set(
        name,
        files.reduce((sum, path) => sum + gzipSync(bytesOf(path)).length, 0),
      );
      page.removeAllListeners("requestfinished");
    }
    for (const [name, bytes] of sizes) expect(bytes, name).toBeLessThanOrEqual(limitBytes);
    expect(Math.min(...sizes.values()), "something was loaded").toBeGreaterThan(10_000);
    await close();
  });

  test("what it consists of is static: hashed files for ever, the page by its tag, compressed, and nothing inline", async () => {
    const page = await fetch(`${browser.url}/`);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toContain("unsafe");
    expect(page.headers.get("cache-control")).toBe("no-cache");
    const html = await page.text();
    expect(html).not.toMatch(/<style|style=|<script(?![^>]*src=)|https?:/);
    const again = await fetch(`${browser.url}/`, { headers: { "if-none-match": page.headers.get("etag") ?? "" } });
    expect(again.status).toBe(304);
    const script = /src="([^"]+\.js)"/.exec(html)?.[1] ?? "";
    const asset = await fetch(`${browser.url}${script}`);
    expect(asset.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(asset.headers.get("content-encoding")).toBe("gzip");
    expect(await asset.text()).toBe(readFileSync(`${built}${script}`, "utf8"));
    expect((await fetch(`${browser.url}/assets/../package.json`)).status).toBe(404);
    expect(readdirSync(`${built}/assets`).filter((name) => !/-[\w-]{8}\.(js|css)$/.test(name))).toEqual([]);
  });

  test("by keyboard the first stop skips the navigation, and the theme stays as it was switched", async () => {
    const { page, goTo, close } = await browser.open();
    await goTo("#/jobs");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.activeElement.id")).toBe("main");
    await page.getByRole("button", { name: "Dark colours" }).click();
    await page.reload();
    expect(await page.evaluate("document.documentElement.dataset.theme")).toBe("dark");
    await close();
  });

  test("a page that is opened while the server is away says so, and comes when it is back", async () => {
    const { page, goTo, close } = await browser.open({ size: "phone" });
    await goTo("#/coverage");
    await page.context().setOffline(true);
    await page.getByRole("link", { name: "Train" }).click();
    expect(await page.getByRole("alert").innerText()).toMatch(/The server did not answer[\s\S]*What to do:/);
    await page.context().setOffline(false);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("form", { name: "New training" }).waitFor();
    await close();
  });

  test("an address that leads nowhere says so", async () => {
    const { page, goTo, close } = await browser.open();
    await goTo("#/nowhere");
    expect(await page.locator("h1").innerText()).toBe("There is no such page");
    await close();
  });

  test("a server with keys asks for one; a wrong one is refused in words, the right one is kept in this tab and in no address", async () => {
    const { url, key } = browser.locked;
    const { page, goTo, close } = await browser.open({ url, size: "phone" });
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await goTo("#/jobs");
    await page.getByRole("heading", { name: "This server asks for a key" }).waitFor();
    await expectAccessible(page);
    await page.getByLabel("API key").fill("qs_wrong");
    await page.keyboard.press("Enter");
    await page.getByText("did not accept this key").waitFor();
    await picture(page, "key-entry-light-phone");
    await page.getByLabel("API key").fill(key);
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "Model import" }).waitFor();
    await page.reload();
    await page.getByRole("link", { name: "Model import" }).waitFor();
    expect(asked.filter((address) => address.includes(key))).toEqual([]);
    await page.getByRole("button", { name: "Forget key" }).click();
    await page.getByRole("heading", { name: "This server asks for a key" }).waitFor();
    await close();
  });
});

function bytesOf(path: string): Buffer {
  return readFileSync(`${built}${path === "/" ? "/index.html" : path}`);
}
