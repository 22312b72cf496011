// The programs that the Steer page shows, run against a real server; Python is read by Python where there is one.
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { clientCode, type Language } from "../../web/steer/client-code.ts";
import { emptyEdit, emptyForm, type SteerForm } from "../../web/steer/steer-form.ts";

const run = promisify(execFile);
const running = inject("runningConsole");
const folder = "tests/output/client-code";
const edit = { ...emptyEdit, feature: "demo-small-topk-layer3:1655", value: 1.5, prompt: "last" as const };
const form: SteerForm = {
  ...emptyForm,
  model: "demo-small",
  prompt: `Yesterday's "morning",\nmy sister \\ $HOME 北京`,
  maxTokens: 6,
  edits: [edit],
};

function has(command: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${command}`]);
    return true;
  } catch {
    return false;
  }
}

describe("the request as a program", () => {
  beforeAll(() => mkdirSync(folder, { recursive: true }));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, language: Language, url: string, which = form) => {
    writeFileSync(`${folder}/${name}`, clientCode(language, which, { url, needsKey: false }));
    return `${folder}/${name}`;
  };

  test.skipIf(running === null || !has("curl"))(
    "curl sends it (skipped without Chromium's stack or curl)",
    async () => {
      const { stdout } = await run("sh", [write("it.sh", "curl", running!.url)]);
      const { choices } = JSON.parse(stdout);
      expect(choices.map((choice: { role_in_experiment: string }) => choice.role_in_experiment)).toEqual([
        "steered",
        "baseline",
      ]);
      expect(choices[0].text).not.toBe(choices[1].text);
    },
  );

  test.skipIf(running === null)("the openai package for Node sends it, text and chat", async () => {
    for (const mode of ["raw", "chat"] as const) {
      const { stdout } = await run(process.execPath, [write(`${mode}.mjs`, "node", running!.url, { ...form, mode })]);
      expect(stdout).toMatch(/^\[steered\] /m);
      expect(stdout).toMatch(/^\[baseline\] /m);
    }
  });

  test.skipIf(!has("python3"))(
    "Python reads it, and its steering is that of the form (skipped without python3)",
    async () => {
      const path = write("it.py", "python", "http://127.0.0.1:1");
      const source = `import ast, json
call = next(n for n in ast.walk(ast.parse(open(${JSON.stringify(path)}).read())) if isinstance(n, ast.Call) and any(k.arg == "extra_body" for k in n.keywords))
print(json.dumps({k.arg: ast.literal_eval(k.value) for k in call.keywords}))`;
      const { stdout } = await run("python3", ["-c", source]);
      const { extra_body, ...known } = JSON.parse(stdout);
      expect(known).toEqual({ prompt: form.prompt, model: "demo-small", max_tokens: 6, temperature: 0, seed: 0 });
      expect(extra_body.steering).toMatchObject({
        edits: [{ feature: edit.feature, value: 1.5, apply: { prompt: [-1], generation: false } }],
        include_baseline: true,
      });
    },
  );

  test("a key is taken from the environment and never written out", () => {
    for (const language of ["curl", "node", "python"] as const) {
      expect(clientCode(language, form, { url: "http://h", needsKey: true })).toContain("QWEN_SCOPE_API_KEY");
      expect(clientCode(language, form, { url: "http://h", needsKey: false })).not.toContain("QWEN_SCOPE_API_KEY");
    }
  });
});
