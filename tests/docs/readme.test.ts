// The README's commands, run as they stand against a server that was started as it says.
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
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
const guides = ["docs/guides/train-saes.md", "docs/guides/features.md"].map((file) => ({
  file,
  scripts: [...readFileSync(file, "utf8").matchAll(/```bash\n([\s\S]*?)```/g)].map(([, code]) => code ?? ""),
}));

/** A guide for clients: each block in its own language, printing JSON as its last line. */
const clients = [...readFileSync("docs/guides/clients.md", "utf8").matchAll(/```(bash|js|python)\n([\s\S]*?)```/g)].map(
  ([, language, code]) => ({ language: language!, code: code! }),
);
const hasOpenAiForPython = spawnSync("python3", ["-c", "import openai"]).status === 0;

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

  describe("docs/guides/clients.md", () => {
    const interpreters: Record<string, (code: string) => [string, string[]]> = {
      bash: (code) => ["bash", ["-euc", `curl() { command curl --fail-with-body "$@"; }\n${code}`]],
      js: (code) => [process.execPath, ["--input-type=module", "--eval", code]],
      python: (code) => ["python3", ["-c", code]],
    };
    test.for(clients)("$language: $code", async ({ language, code }, { skip }) => {
      skip(
        code.includes("from openai") && !hasOpenAiForPython,
        "python3 has no openai; `pip install openai` lifts this",
      );
      const [file, args] = interpreters[language]!(code.replaceAll("localhost:8080", address.replace("http://", "")));
      const { stdout } = await promisify(execFile)(file, args);
      const body = JSON.parse(stdout.trim().split("\n").at(-1)!);
      expect(body).not.toHaveProperty("code");
      if (body.text) expect(body.text).toMatch(/\p{Script=Han}/u);
      if (body.choices) {
        const [steered, baseline] = body.choices;
        expect([steered.role_in_experiment, baseline.role_in_experiment]).toEqual(["steered", "baseline"]);
        expect(steered.text ?? steered.message.content).not.toBe(baseline.text ?? baseline.message.content);
      }
      // Whatever kind a client may ask for, the workers that were started here would take.
      if (body.job_kinds) expect(new Set(Object.values(body.job_kinds))).toEqual(new Set([true]));
      if (body.object !== "job") return;
      expect(body).toMatchObject({ state: "succeeded", error: null });
      const failed = code.includes("999999") ? 1 : 0;
      expect(body.result.request_counts).toMatchObject({
        failed,
        completed: body.result.request_counts.total - failed,
      });
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
