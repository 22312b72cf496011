// The README's commands, run as they stand against a server that was started as it says.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const readme = readFileSync("README.md", "utf8");
const blocks = [...readme.matchAll(/```bash\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");
/** One command each: a block may hold several, and a command goes on over continued and indented lines. */
const commands = blocks.filter((block) => block.includes("curl")).flatMap((block) => block.split(/\n+(?=curl|printf)/));

/** Guides whose blocks are whole scripts: what the last command prints is looked at. */
const guides = ["docs/guides/train-saes.md"].map((file) => ({
  file,
  scripts: [...readFileSync(file, "utf8").matchAll(/```bash\n([\s\S]*?)```/g)].map(([, code]) => code ?? ""),
}));

describe("the README", () => {
  let server: ChildProcess;
  let address = "";
  let folder = "";

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "readme-"));
    server = spawn(process.execPath, ["--import", "tsx", "scripts/start.ts"], {
      env: { ...process.env, DATA_DIR: folder, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const registered = /the bundled models, saes and datasets are registered/;
    for await (const line of createInterface({ input: server.stdout! })) {
      address = line.match(/^ready (\S+)/)?.[1] ?? address;
      if (registered.test(line)) break;
    }
    server.stdout?.resume();
  });

  afterAll(async () => {
    const exited = new Promise((done) => server.once("exit", done));
    server.kill("SIGTERM");
    await exited;
    rmSync(folder, { recursive: true, force: true });
  });

  async function run(command: string): Promise<string> {
    const here = command.replaceAll("localhost:8080", address.replace("http://", ""));
    const script = `curl() { command curl --fail-with-body "$@"; }\n${here}`;
    return (await promisify(execFile)("bash", ["-euc", script])).stdout;
  }

  test("the server came up and has registered what it brings", () => {
    expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(commands.length).toBeGreaterThan(6);
  });

  test.each(commands)("%s", async (command) => {
    const answer = await run(command);
    // A file is made silently; everything else answers with JSON that is no problem and no failed job.
    if (command.startsWith("printf")) return expect(answer).toBe("");
    const body = JSON.parse(answer);
    expect(body).not.toHaveProperty("code");
    if (body.object === "list") expect(body.data.length).toBeGreaterThan(0);
    if (body.object === "job") expect(body).toMatchObject({ state: "succeeded", error: null });
    if (body.choices)
      expect(body.choices.map((choice: { text: string }) => choice.text.length > 0)).not.toContain(false);
  });

  describe.each(guides)("$file", ({ scripts }) => {
    test.each(scripts)("%s", { timeout: 150_000 }, async (script) => {
      const body = JSON.parse(await run(script));
      expect(body).not.toHaveProperty("code");
      if (body.object === "job") expect(body).toMatchObject({ state: "succeeded", error: null });
    });
  });

  test("the steered completion differs from its baseline and reports what it touched", async () => {
    const steering = commands.find((command) => command.includes("include_baseline"));
    const { choices } = JSON.parse(await run(steering!));
    const baseline = choices.find(
      (choice: { role_in_experiment?: string }) => choice.role_in_experiment === "baseline",
    );
    const steered = choices.find((choice: { role_in_experiment?: string }) => choice !== baseline);
    expect(steered.text).not.toBe(baseline.text);
    expect(steered.steering_report.edits[0].prompt_tokens).toBeGreaterThan(0);
  });
});
