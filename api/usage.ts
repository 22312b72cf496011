// Deleting something in use is a conflict that names the users.
import { Problem } from "../domain/problem.ts";
import type { Platform } from "../platform/platform.ts";

/** Throws RESOURCE_IN_USE when `more` names users, or when an unfinished job's input holds the id. */
export async function refuseWhileUsed(
  platform: Platform,
  workspaceId: string,
  id: string,
  more: () => Promise<string[]> = async () => [],
): Promise<void> {
  const users = await more();
  const active = await platform.db.job.findMany({
    where: { workspace_id: workspaceId, state: { in: ["queued", "running"] } },
    select: { id: true, kind: true, input: true },
  });
  for (const job of active) {
    // Inputs keep resolved ids, alone or as part of a feature's name, which are unique enough to be searched for as text.
    const text = JSON.stringify(job.input);
    if (text.includes(`"${id}"`) || text.includes(`"${id}:`)) users.push(`the job ${job.id} (${job.kind})`);
  }
  if (users.length > 0) throw new Problem("RESOURCE_IN_USE", `${id} is used by ${users.slice(0, 10).join(", ")}.`);
}
