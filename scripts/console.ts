// The built console is made anew when its sources are newer, so that whoever edits web/ only starts the server again.
import { existsSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("../web", import.meta.url));
/** Its tables of problems and metrics are part of the console. */
const domain = fileURLToPath(new URL("../domain", import.meta.url));
const notSources = ["dist", "openapi.d.ts", "README.md"];

/** Does nothing where the console is up to date, or where the tool that builds it is not installed (an image). */
export async function refreshConsole(say: (line: string) => void): Promise<void> {
  const built = join(web, "dist/index.html");
  if (existsSync(built) && newestSource() <= statSync(built).mtimeMs) return;
  const vite = await import("vite").catch(() => null);
  if (vite === null || !existsSync(join(web, "index.html"))) return;
  say("building the console");
  // Built aside and moved into place: another start may be reading the old one.
  const aside = join(web, `.dist-${process.pid}`);
  try {
    await vite.build({
      root: web,
      configFile: join(web, "vite.config.ts"),
      logLevel: "warn",
      build: { outDir: aside, emptyOutDir: true },
    });
    rmSync(join(web, "dist"), { recursive: true, force: true });
    renameSync(aside, join(web, "dist"));
  } catch (error) {
    if (!existsSync(built)) say(`the console could not be built: ${(error as Error).message}`);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

function newestSource(): number {
  const times = [web, domain]
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !isGenerated(join(entry.parentPath, entry.name)))
    .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs);
  return Math.max(0, ...times);
}

function isGenerated(path: string): boolean {
  if (!path.startsWith(web)) return false;
  const inside = path.slice(web.length + 1);
  return inside.startsWith(".dist-") || notSources.some((name) => inside === name || inside.startsWith(`${name}/`));
}
