import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSecrets } from "../../platform/secrets.ts";
import { type TestPlatform, testPlatform, testWorkspace } from "../support/platform.ts";

const SECRETS_KEY = Buffer.alloc(32, 7).toString("base64");
let platform: TestPlatform;
let workspaceId: string;
beforeAll(async () => {
  platform = await testPlatform({ SECRETS_KEY });
  workspaceId = platform.workspaceId;
});
afterAll(() => platform.close());

const code = (name: string) => expect.objectContaining({ name: "Problem", code: name });

test("a secret comes back as it was, and only its sealed form is in the database", async () => {
  const value = "sk-öffentlich-nie";
  const row = await platform.secrets.create({ workspaceId, name: "openai", value, hosts: [] });
  expect(await platform.secrets.reveal(workspaceId, "openai", "any.example")).toBe(value);
  expect(Buffer.from(row.sealed).includes(Buffer.from(value))).toBe(false);
  const again = await platform.secrets.create({ workspaceId, name: "openai-2", value, hosts: [] });
  expect(Buffer.from(again.sealed).equals(Buffer.from(row.sealed))).toBe(false);
});

test("another workspace has no such secret", async () => {
  const other = await testWorkspace(platform, "other");
  await expect(platform.secrets.reveal(other, "openai", "any.example")).rejects.toEqual(code("SECRET_NOT_FOUND"));
});

test("a secret with hosts goes to no other host, and not to another port", async () => {
  const hosts = ["api.example", "judge:8000"];
  await platform.secrets.create({ workspaceId, name: "bound", value: "v", hosts });
  for (const host of hosts) expect(await platform.secrets.reveal(workspaceId, "bound", host)).toBe("v");
  for (const host of ["evil.example", "judge", "judge:8001", "api.example:80", "x.api.example"])
    await expect(platform.secrets.reveal(workspaceId, "bound", host)).rejects.toEqual(code("SECRET_HOST_REFUSED"));
});

describe("a sealed value does not open", () => {
  test("under another key", async () => {
    const config = { ...platform.config, SECRETS_KEY: Buffer.alloc(32, 8).toString("base64") };
    const reveal = createSecrets(platform.db, config).reveal(workspaceId, "openai", "h");
    await expect(reveal).rejects.toEqual(code("SECRET_UNREADABLE"));
  });

  test("under another name", async () => {
    const { sealed } = await platform.db.secret.findFirstOrThrow({ where: { name: "bound" } });
    await platform.db.secret.updateMany({ where: { name: "openai-2" }, data: { sealed } });
    await expect(platform.secrets.reveal(workspaceId, "openai-2", "h")).rejects.toEqual(code("SECRET_UNREADABLE"));
  });

  test("with any byte changed, cut or added", async () => {
    const { sealed } = await platform.db.secret.findFirstOrThrow({ where: { name: "openai" } });
    const changed = Array.from({ length: sealed.length }, (_, at) =>
      sealed.map((byte, i) => (i === at ? byte ^ 1 : byte)),
    );
    const others = [...changed, sealed.subarray(0, 20), sealed.subarray(0, -1), new Uint8Array([...sealed, 0])];
    for (const bytes of others) {
      await platform.db.secret.updateMany({ where: { name: "openai-2" }, data: { sealed: new Uint8Array(bytes) } });
      await expect(platform.secrets.reveal(workspaceId, "openai-2", "h")).rejects.toEqual(code("SECRET_UNREADABLE"));
    }
  });
});

describe("without SECRETS_KEY", () => {
  test("the embedded default makes a key that only its user can read, once for all its processes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "qwen-scope-secrets-"));
    try {
      const config = { DATA_DIR: folder };
      const [one, two] = [createSecrets(platform.db, config), createSecrets(platform.db, config)];
      await one.create({ workspaceId, name: "embedded", value: "v", hosts: [] });
      expect(await two.reveal(workspaceId, "embedded", "h")).toBe("v");
      const path = join(folder, "secrets.key");
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(readFileSync(path)).toHaveLength(32);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a database that other machines may use has no secrets", async () => {
    const secrets = createSecrets(platform.db, { DATABASE_URL: "postgres://db", DATA_DIR: "nowhere" });
    const creating = async () => secrets.create({ workspaceId, name: "never", value: "v", hosts: [] });
    await expect(creating()).rejects.toEqual(code("SECRETS_UNAVAILABLE"));
  });
});
