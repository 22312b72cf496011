// Steer, Features and Train as a reader uses them: in a real browser, on the running product.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Console, describeConsole, expectAccessible, openConsole, picture } from "./console.ts";

const sae = "demo-small-topk-layer3";

async function post(url: string, path: string, body: object): Promise<Record<string, unknown>> {
  const headers = { "content-type": "application/json", prefer: "wait=60" };
  const response = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
  expect(response.ok, await response.clone().text()).toBe(true);
  return (await response.json()) as Record<string, unknown>;
}

describeConsole("the console on features", () => {
  let browser: Console;
  beforeAll(async () => {
    browser = await openConsole();
  });
  afterAll(() => browser.close());

  describe("the page to steer", () => {
    test("streams baseline, steered text and control side by side, says what was done, and shows where the feature is active", async () => {
      const { page, goTo, close } = await browser.open();
      await goTo("#/steer");
      const streamed = page.waitForResponse((response) => response.url().endsWith("/v1/completions"));
      await page.getByRole("button", { name: "Try it" }).click();
      expect((await streamed).headers()["content-type"]).toContain("text/event-stream");
      await page.getByRole("button", { name: "Run" }).waitFor();
      const text = (role: string) => page.locator(`[data-role=${role}]`).innerText();
      expect(await text("steered")).toMatch(/\p{Script=Han}{4}/u);
      expect(await text("baseline")).not.toMatch(/\p{Script=Han}/u);
      expect((await text("control")).length).toBeGreaterThan(0);
      const report = page.getByText(`${sae}:1655 at layer 3 changed 1 prompt token`);
      expect(await report.innerText()).toMatch(/by \d+ % of the residual stream's length/);
      const shaded = page.locator(".token[class*=shade-8]");
      await shaded.first().waitFor();
      expect(await shaded.first().getAttribute("title")).toMatch(/\d/);
      expect(await page.locator(".coloured-text").allInnerTexts()).not.toContainEqual(
        expect.stringContaining("\ufffd"),
      );
      await expectAccessible(page);
      await picture(page, "steer-light-desktop");
      await close();
    });

    test("on a phone in the dark: a link restores the form, no prompt was in an address that the server saw, and an sae that is not there is named", async () => {
      const { page, goTo, close } = await browser.open({ size: "phone", scheme: "dark" });
      const asked: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      await goTo("#/steer");
      await page.getByRole("textbox", { name: "Prompt", exact: true }).fill("A secret garden");
      await page.getByLabel("New tokens").fill("5");
      await page.getByRole("button", { name: "Run" }).click();
      await page.locator("[data-role=answer]").waitFor();
      const address = page.url();
      await goTo("#/jobs");
      await page.goto(address);
      expect(await page.getByRole("textbox", { name: "Prompt", exact: true }).inputValue()).toBe("A secret garden");
      expect(await page.getByLabel("New tokens").inputValue()).toBe("5");
      expect(
        asked.filter((url) => /secret/i.test(decodeURIComponent(new URL(url).search + new URL(url).pathname))),
      ).toEqual([]);
      await page.getByLabel("Feature of edit 1").fill("nowhere:1");
      await page.getByRole("button", { name: "Run" }).click();
      expect(await page.getByRole("alert").innerText()).toMatch(/nowhere[\s\S]*What to do:/);
      await expectAccessible(page);
      await picture(page, "steer-dark-phone");
      await close();
    });

    test("finds a feature by texts, saves it as a variant, and shows what the API refuses", async () => {
      const { page, goTo, close } = await browser.open();
      await goTo("#/steer");
      await page.getByRole("button", { name: "Find" }).click();
      await page.getByRole("radio", { name: "By example texts" }).check();
      await page.getByLabel("Texts that show it").fill("我喜欢喝茶。\n今天天气很好。");
      await page.getByLabel("Texts that do not").fill("I like to drink tea.\nThe weather is fine.");
      await page.getByLabel("Look in").selectOption({ label: `layer 3 · ${sae}` });
      await page.getByRole("button", { name: "Compare" }).click();
      await page.locator(".finder-results button").first().click();
      expect(await page.getByLabel("Feature of edit 1").inputValue()).toMatch(new RegExp(`^${sae}:\\d+$`));
      await page.getByText("Save as a variant").click();
      await page.getByLabel("Name", { exact: true }).fill("saved-by-console");
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByText('"model": "saved-by-console"').waitFor();
      await page.getByRole("button", { name: "Save", exact: true }).click();
      expect(await page.getByRole("alert").innerText()).toContain("saved-by-console");
      await expectAccessible(page);
      await close();
    });

    test("a sweep draws its cells and ends in a verdict in words", async () => {
      const { page, goTo, close } = await browser.open();
      await goTo(`#/steer?feature=${sae}:1655`);
      await page.getByText("Which strength works").click();
      await page.getByLabel("New tokens").fill("8");
      await page.getByLabel("Strengths").fill("1, 2");
      await page.getByLabel("Prompts, one a line").fill("The weather is\nMy sister");
      await page.getByRole("button", { name: "Sweep" }).click();
      const verdict = page.getByRole("region", { name: "Verdict" });
      await verdict.waitFor();
      expect(await verdict.innerText()).toMatch(/It works|Not shown to work/);
      expect(await page.locator(".chart-dot, .chart-ring").count()).toBe(2);
      await expectAccessible(page);
      await picture(page, "sweep-light-desktop");
      await close();
    });
  });

  describe("the page of features", () => {
    test("an sae that is not indexed offers to be, and then its features are listed, searched and opened", async () => {
      const { page, goTo, close } = await browser.open();
      await goTo(`#/features/${sae}`);
      await page.getByLabel("Texts to read").selectOption({ label: "health-english · 120 samples" });
      await page.getByRole("button", { name: "Index the features" }).click();
      await page.getByRole("columnheader", { name: "Fires on" }).waitFor();
      await picture(page, "features-light-desktop");
      const open = page.locator("tbody a").first();
      const index = await open.innerText();
      await open.click();
      await page.getByRole("heading", { name: `Feature ${index}` }).waitFor();
      await page.locator(".chart-bars rect").first().waitFor();
      await page.locator(".example-band .token-peak").first().waitFor();
      await expectAccessible(page);
      await page.getByRole("textbox", { name: "Label" }).fill("spoken of in tests");
      await page.getByRole("button", { name: "Save label" }).click();
      await page.getByText("written by a person").waitFor();
      await picture(page, "feature-light-desktop");
      await goTo(`#/features/${sae}`);
      await page.getByLabel("Search labels and promoted tokens").fill("spokn tests");
      await page.waitForURL(/query=spokn/);
      await expect.poll(() => page.locator("tbody tr").count()).toBe(1);
      expect(await page.locator("tbody tr").innerText()).toContain("spoken of in tests");
      await close();
    });

    test("on a phone in the dark a feature leads to steering with it, and a refused label says why", async () => {
      const { page, goTo, close } = await browser.open({ size: "phone", scheme: "dark" });
      await goTo(`#/features/${sae}/7`);
      await page.getByRole("textbox", { name: "Label" }).fill("x".repeat(2001));
      await page.getByRole("button", { name: "Save label" }).click();
      expect(await page.getByRole("alert").innerText()).toContain("/label");
      await expectAccessible(page);
      await picture(page, "feature-dark-phone");
      await page.getByRole("link", { name: "Steer with this" }).click();
      expect(await page.getByLabel("Feature of edit 1").inputValue()).toBe(`${sae}:7`);
      await close();
    });
  });

  describe("the page to train", () => {
    test("estimates, trains, draws live curves and ends with metrics and a report", async () => {
      const { page, goTo, close } = await browser.open();
      await goTo("#/train");
      await page.getByLabel("Model").selectOption({ label: "demo-small · 6 layers, d 192" });
      await page.getByLabel("Texts").selectOption({ label: "health-english · 120 samples" });
      await page.getByRole("checkbox", { name: "1", exact: true }).check({ force: true });
      await page.getByLabel("Width").fill("256");
      await page.getByLabel("k", { exact: true }).fill("8");
      await page.getByLabel("Tokens", { exact: true }).fill("6000");
      await page.getByText("Name, batch, seed").click();
      await page.getByLabel("Batch").fill("256");
      await page.getByText("Parameters").waitFor();
      await expectAccessible(page);
      await picture(page, "train-light-desktop");
      await page.getByRole("button", { name: "Start training" }).click();
      // A run so short may have told its metrics once: a line of one point has no length, its dot is there.
      await page.locator(".chart-dot").first().waitFor();
      await page.getByRole("link", { name: /-layer1$/ }).waitFor();
      expect(await page.locator(".curves .chart").count()).toBe(4);
      const download = page.waitForEvent("download");
      await page.getByRole("button", { name: "report.html" }).click();
      expect((await download).suggestedFilename()).toBe("report.html");
      await expectAccessible(page);
      await picture(page, "training-light-desktop");
      await close();
    });

    test("on a phone in the dark a training is canceled and resumed, and an impossible one is refused before it starts", async () => {
      const input = { model_id: "demo-small", dataset_id: "health-english", layers: [0], width: 128, k: 8 };
      const small = { evaluation_tokens: 64, buffer_tokens: 1024, median_tokens: 256 };
      const long = { ...input, ...small, tokens: 2_000_000, batch_tokens: 256, checkpoint_every_steps: 10 };
      const headers = { "content-type": "application/json" };
      const body = JSON.stringify({ kind: "sae.train", input: long });
      const { id } = (await (await fetch(`${browser.url}/v1/jobs`, { method: "POST", headers, body })).json()) as {
        id: string;
      };
      const { page, goTo, close } = await browser.open({ size: "phone", scheme: "dark" });
      await goTo(`#/train/${id}`);
      await page
        .getByText(/^Checkpoint at step/)
        .first()
        .waitFor();
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("button", { name: /^Resume from step/ }).click();
      await page.getByRole("button", { name: "Cancel" }).waitFor();
      await picture(page, "training-dark-phone");
      await post(browser.url, `/v1/jobs/${id}/cancel`, {});
      await goTo("#/train");
      await page.getByLabel("Model").selectOption({ label: "demo-small · 6 layers, d 192" });
      await page.getByLabel("Texts").selectOption({ label: "health-english · 120 samples" });
      await page.getByRole("checkbox", { name: "1", exact: true }).check({ force: true });
      await page.getByLabel("k", { exact: true }).fill("4096");
      expect(await page.getByRole("alert").innerText()).toContain("What to do:");
      await expectAccessible(page);
      await picture(page, "train-refused-dark-phone");
      await close();
    });
  });
});
