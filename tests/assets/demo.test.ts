import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

// Everything embedded, as a person would start it, in a folder of its own.
it("npm run demo -- --once steers, trains, compares, and ends well", { timeout: 300_000 }, async () => {
  const data = await mkdtemp(join(tmpdir(), "qwen-scope-demo-"));
  try {
    const child = spawn(process.execPath, ["--import", "tsx", "scripts/demo.ts", "--once"], {
      cwd: root,
      env: { ...process.env, DATA_DIR: data, PORT: "0" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = new Promise<number | null>((done) => child.once("close", done));
    const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    expect(code, errors + output).toBe(0);
    expect(output).toMatch(/baseline +[a-z ]+/);
    expect(output).toMatch(/steered +.*\p{Script=Han}/u);
    expect(output).toMatch(/cross-entropy recovered \(share\) +0\.9/);
    expect(output).toContain("nearly the same   health-english and health-english-copy");
    expect(output).toContain("mostly contained  arithmetic-easy in arithmetic-hard");
    expect(output).toMatch(/reference +http:\/\/127\.0\.0\.1:\d+\/docs/);
    // Not a terminal: no colour, nothing that moves.
    expect(output).not.toContain("\u001b[");
  } finally {
    await rm(data, { recursive: true, force: true });
  }
});
