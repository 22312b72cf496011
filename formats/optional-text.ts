// Files that a folder may or may not hold.
import { readFile } from "node:fs/promises";

/** The file's text, or null where there is no such file. Any other failure is thrown. */
export async function readOptionalText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
