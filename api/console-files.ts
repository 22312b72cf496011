// The built console (web/dist), read once at start: it is small, so that a request costs no file access.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const builtFolder = fileURLToPath(new URL("../web/dist", import.meta.url));

const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".woff2": "font/woff2",
};

export interface ConsoleFile {
  readonly bytes: Buffer;
  readonly gzipped: Buffer;
  readonly etag: string;
  readonly contentType: string;
  /** Its name carries a hash of its content: it never changes. */
  readonly immutable: boolean;
}

/** Address → file, `/` among them; null when the console has not been built. */
export function readConsole(folder: string = builtFolder): ReadonlyMap<string, ConsoleFile> | null {
  if (!existsSync(join(folder, "index.html"))) return null;
  const files = new Map<string, ConsoleFile>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const address = path.slice(folder.length).replaceAll(sep, "/");
    const bytes = readFileSync(path);
    files.set(address === "/index.html" ? "/" : address, {
      bytes,
      gzipped: gzipSync(bytes, { level: 9 }),
      etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`,
      contentType: contentTypes[extname(path)] ?? "application/octet-stream",
      immutable: address.startsWith("/assets/"),
    });
  }
  return files;
}
