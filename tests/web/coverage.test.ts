import { readFileSync } from "node:fs";
import type { Download, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Console, describeConsole, expectAccessible, openConsole, picture } from "./console.ts";

const numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
const problems = numbers.flatMap((a, i) => numbers.map((b, j) => ({ a, b, sum: i + j + 2 })));
const gsm = problems
  .map(({ a, b, sum }) =>
    JSON.stringify({ question: `Ann has ${a} cups and ${b} more. How many?`, answer: `#### ${sum}` }),
  )
  .join("\n");
const german = `frage,antwort\n${problems.map(({ a, b, sum }) => `${a} + ${b} =,${sum}`).join("\n")}\n`;

const file = (name: string, text: string) => ({ name, mimeType: "text/plain", buffer: Buffer.from(text) });

async function saved(page: Page, click: () => Promise<void>): Promise<{ name: string; bytes: Buffer }> {
  const [download]: [Download, unknown] = await Promise.all([page.waitForEvent("download"), click()]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

describeConsole("the page of coverage", () => {
  let browser: Console;
  let address = "";
  beforeAll(async () => {
    browser = await openConsole();
    const input = {
      model_id: "demo-small",
      sae_ids: ["demo-small-topk-layer3"],
      benchmarks: ["sums", "arithmetic-easy", "arithmetic-hard"].map((name) => ({ dataset_id: name })),
    };
    const response = await fetch(`${browser.url}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json", prefer: "wait=60" },
      body: JSON.stringify({ kind: "benchmark.analyze", input }),
    });
    address = `#/coverage/${((await response.json()) as { id: string }).id}`;
  });
  afterAll(() => browser.close());

  test("files are looked at, mended, added and compared; the matrix is there at the end", async () => {
    const { page, goTo, close } = await browser.open();
    await goTo("#/coverage");
    await page
      .locator("input[type=file]")
      .setInputFiles([file("sums-in-words.jsonl", gsm), file("rechnen.csv", german)]);
    const first = page.getByRole("form", { name: "sums-in-words.jsonl" });
    await first.getByText("Question: Ann has one cups").waitFor();
    expect(await first.getByLabel("Prompt template").innerText()).toContain("gsm8k (recognised)");

    const second = page.getByRole("form", { name: "rechnen.csv" });
    expect(await second.getByRole("alert").innerText()).toContain('the columns are "frage", "antwort"');
    expect(await second.getByRole("button", { name: "Add to the comparison" }).isDisabled()).toBe(true);
    await picture(page, "coverage-files-light-desktop");
    await expectAccessible(page);
    await second.getByRole("combobox", { name: "Text", exact: true }).selectOption("frage");
    await second.getByText("one + one =").first().waitFor();

    await page.getByRole("button", { name: "Add all 2 files" }).click();
    await page.getByText("2 chosen, 128 samples").waitFor();
    await page.getByRole("checkbox", { name: /^sums 120/ }).check();
    await page.getByRole("button", { name: "Compare 3 benchmarks" }).click();
    await page.getByRole("heading", { name: "Overlap", exact: true }).waitFor();
    expect(new URL(page.url()).hash).toMatch(/^#\/coverage\/job_/);
    expect(await page.locator(".heat-cell").count()).toBe(9);
    await close();
  });

  test("the arrows move over the matrix and what they reach is said", async () => {
    const { page, goTo, close } = await browser.open();
    await goTo(address);
    const map = page.getByRole("application");
    await map.focus();
    const said = page.locator(".matrix-foot [aria-live]");
    await page.keyboard.press("ArrowUp");
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
    expect(await said.innerText()).toMatch(/covers 100\.0 % of the features of/);
    expect(await page.locator(".pair h2").innerText()).not.toContain("and");
    await page.keyboard.press("ArrowDown");
    expect(await page.locator(".pair h2").innerText()).toContain(" and ");
    await close();
  });

  test("what is shown can be taken along: PNG, SVG, CSV, JSON and the list of a smaller set", async () => {
    const { page, goTo, close } = await browser.open();
    await goTo(address);
    const panel = page.locator("section", { has: page.getByRole("heading", { name: "Overlap", exact: true }) });
    const press = (name: string) => panel.getByRole("button", { name, exact: true }).click();
    const svg = await saved(page, () => press("SVG"));
    expect(svg.name).toBe("benchmark-overlap.svg");
    expect(svg.bytes.toString()).toContain("arithmetic-easy");
    expect(svg.bytes.toString(), "styles are written into it").not.toContain("class=");
    const png = await saved(page, () => press("PNG"));
    expect(png.bytes.subarray(1, 4).toString()).toBe("PNG");
    const csv = await saved(page, () => press("CSV"));
    expect(csv.bytes.toString().split("\r\n")).toHaveLength(5);
    const json = await saved(page, () => page.getByRole("button", { name: "Download analysis.json" }).click());
    const { benchmarks, overlap } = JSON.parse(json.bytes.toString());
    expect(benchmarks.map(({ name }: { name: string }) => name)).toEqual([
      "sums",
      "arithmetic-easy",
      "arithmetic-hard",
    ]);
    expect(csv.bytes.toString()).toContain(String(overlap[0][1]));

    await page.getByLabel("Share of the features").fill("90");
    const answer = await page.locator(".coreset-answer").innerText();
    const count = Number(/^\d+/.exec(answer)?.[0]);
    const list = await saved(page, () => page.getByRole("button", { name: "Download the list" }).click());
    expect(list.bytes.toString().trim().split("\r\n")).toHaveLength(count + 1);
    await close();
  });

  test("a first visitor sees a result after one click, and its link opens it again", async () => {
    const { page, goTo, close } = await browser.open({ size: "phone", scheme: "dark" });
    await goTo("#/coverage");
    await page.getByRole("button", { name: "Compare the examples" }).waitFor();
    await picture(page, "coverage-setup-dark-phone");
    await expectAccessible(page);
    await page.getByRole("button", { name: "Compare the examples" }).click();
    await page.getByRole("heading", { name: "13 benchmarks compared" }).waitFor();
    await page.getByText("Could be dropped").waitFor();
    expect(await page.locator(".suggestions").innerText()).toContain("health-english-copy");
    const link = new URL(page.url()).hash;
    await close();
    for (const [size, scheme] of [
      ["desktop", "light"],
      ["desktop", "dark"],
      ["phone", "light"],
      ["phone", "dark"],
    ] as const) {
      const again = await browser.open({ size, scheme });
      await again.goTo(link);
      await again.page.getByRole("heading", { name: "All figures" }).waitFor();
      // Both themes and both sizes in two runs: axe takes a second for each.
      if ((scheme === "light") === (size === "desktop")) await expectAccessible(again.page);
      await picture(again.page, `coverage-${scheme}-${size}`);
      await again.close();
    }
  });
});
