/**
 * A workspace's keys and tokens for other services: written by clients, read by workers on their way out, never shown again.
 * At rest AES-256-GCM under the operator's key; the additional data binds a value to its workspace and name, so that a row that
 * was moved in the database does not open. A sealed value is a version byte, the nonce, the tag, the ciphertext.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newId } from "../domain/id.ts";
import { Problem } from "../domain/problem.ts";
import type { PrismaClient, Secret } from "../prisma/client/client.ts";
import type { Config } from "./config.ts";

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface NewSecret {
  readonly workspaceId: string;
  readonly name: string;
  readonly value: string;
  /** Empty: it may go to any host. */
  readonly hosts: readonly string[];
}

export interface Secrets {
  create(secret: NewSecret): Promise<Secret>;
  /** The value, for a request to this host. @throws Problem SECRET_NOT_FOUND, SECRET_HOST_REFUSED, SECRET_UNREADABLE */
  reveal(workspaceId: string, name: string, host: string): Promise<string>;
}

export function createSecrets(
  db: PrismaClient,
  config: Pick<Config, "SECRETS_KEY" | "DATABASE_URL" | "DATA_DIR">,
): Secrets {
  let known: Buffer | null = null;
  const key = () => {
    known ??= findKey(config);
    return known;
  };
  return {
    create: ({ workspaceId, name, value, hosts }) =>
      db.secret.create({
        data: {
          id: newId("secret"),
          workspace_id: workspaceId,
          name,
          hosts: [...hosts],
          sealed: seal(key(), value, `${workspaceId} ${name}`),
        },
      }),
    async reveal(workspaceId, name, host) {
      const row = await db.secret.findFirst({ where: { workspace_id: workspaceId, name } });
      if (row === null) throw new Problem("SECRET_NOT_FOUND", `There is no secret "${name}" in this workspace.`);
      if (row.hosts.length > 0 && !row.hosts.includes(host)) {
        const detail = `the secret "${name}" may go to ${row.hosts.join(", ")}, not to ${host}`;
        throw new Problem("SECRET_HOST_REFUSED", detail);
      }
      return open(key(), row.sealed, `${workspaceId} ${name}`);
    },
  };
}

function seal(key: Buffer, value: string, context: string): Uint8Array<ArrayBuffer> {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(context));
  const body = [cipher.update(value, "utf8"), cipher.final()];
  return new Uint8Array(Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), ...body]));
}

function open(key: Buffer, sealed: Uint8Array, context: string): string {
  const tagAt = 1 + NONCE_BYTES;
  const bodyAt = tagAt + TAG_BYTES;
  try {
    if (sealed[0] !== VERSION) throw new RangeError(`a sealed secret of version ${sealed[0]}`);
    const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(1, tagAt), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(context)).setAuthTag(sealed.subarray(tagAt, bodyAt));
    return Buffer.concat([decipher.update(sealed.subarray(bodyAt)), decipher.final()]).toString("utf8");
  } catch (error) {
    throw new Problem("SECRET_UNREADABLE", undefined, { cause: error });
  }
}

/** A database that others can reach has processes on other machines, which would each make a key of their own. */
function findKey({ SECRETS_KEY, DATABASE_URL, DATA_DIR }: Pick<Config, "SECRETS_KEY" | "DATABASE_URL" | "DATA_DIR">) {
  if (SECRETS_KEY !== undefined) return Buffer.from(SECRETS_KEY, "base64");
  if (DATABASE_URL !== undefined) throw new Problem("SECRETS_UNAVAILABLE");
  return keyOfFolder(DATA_DIR);
}

/** The folder's key; made when there is none. Linked into its place, so that of two processes one wins and neither reads half. */
function keyOfFolder(folder: string): Buffer {
  const path = join(folder, "secrets.key");
  mkdirSync(folder, { recursive: true });
  const draft = `${path}.${newId("secret")}`;
  writeFileSync(draft, randomBytes(32), { mode: 0o600 });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft);
  }
  return readFileSync(path);
}
