import { afterAll, beforeAll, expect, test } from "vitest";
import { type Console, describeConsole, expectAccessible, openConsole, picture } from "./console.ts";

describeConsole("the page of jobs", () => {
  let browser: Console;
  let failed = "";
  beforeAll(async () => {
    browser = await openConsole();
    const response = await fetch(`${browser.url}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json", prefer: "wait=30" },
      body: JSON.stringify({
        kind: "benchmark.analyze",
        input: {
          model_id: "demo-small",
          sae_ids: ["demo-small-topk-layer1"],
          benchmarks: [{ dataset_id: "sums", template: "{nothing}" }],
        },
      }),
    });
    failed = ((await response.json()) as { id: string }).id;
  });
  afterAll(() => browser.close());

  test("a failed job shows its problem and what to do", async () => {
    const { page, goTo, close } = await browser.open();
    await goTo(`#/jobs/${failed}`);
    const problem = page.getByRole("alert");
    await problem.waitFor();
    expect(await problem.innerText()).toContain('row 1 has no field "nothing"');
    expect(await problem.innerText()).toContain("What to do:");
    expect(await problem.getByRole("link").getAttribute("href")).toBe("/problems#dataset-invalid");
    await expectAccessible(page);
    await picture(page, "job-failed-light-desktop");
    await close();
  });

  test("the list is filtered by state, and its address keeps the filter", async () => {
    const { page, goTo, close } = await browser.open({ size: "phone", scheme: "dark" });
    await goTo("#/jobs");
    await page.getByRole("link", { name: "Model import" }).waitFor();
    await page.getByLabel("State").selectOption("failed");
    await page.getByText("A row of the dataset cannot be used").waitFor();
    expect(await page.getByRole("link", { name: "Model import" }).count()).toBe(0);
    expect(page.url()).toContain("#/jobs?state=failed");
    await expectAccessible(page);
    await picture(page, "jobs-dark-phone");
    await close();
  });

  test("a job that is not there is a problem with its request id", async () => {
    const { page, goTo, close } = await browser.open();
    await goTo("#/jobs");
    await page.goto(`${browser.url}/#/jobs/job_00000000000000000000000000`);
    const problem = page.getByRole("alert");
    await problem.waitFor();
    expect(await problem.innerText()).toMatch(/JOB_NOT_FOUND · request req_/);
    await close();
  });

  test("long words of a problem stay on a phone's screen", async () => {
    const { page, goTo, close } = await browser.open({ size: "phone" });
    await goTo("#/jobs");
    await page.goto(`${browser.url}/#/jobs/no-such-id`);
    await page.getByRole("alert").waitFor();
    await expectAccessible(page);
    await close();
  });
});
