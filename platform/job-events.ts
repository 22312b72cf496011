// A long run reports its progress for days: what nobody reads again must not fill the table.
import type { PrismaClient } from "../prisma/client/client.ts";

/** Of a job's events, those that the next of their kind replaces. What changed its state stays, and so do all others. */
const passing = ["progress", "metrics"];
/** Progress and metrics of a job that are kept together: at the rate they are written, the last ten minutes or so. */
const keptEvents = 1000;

/**
 * Deletes the oldest progress and metrics events beyond the newest `keep` of each job; gives back how many. Cursors
 * stay good: the events that remain keep their numbers, and a reader asks for those after the one it saw last.
 * Only jobs that run or ended within the last hour are looked at, for others have been thinned.
 */
export async function thinJobEvents(db: PrismaClient, keep = keptEvents): Promise<number> {
  return db.$executeRaw`
    DELETE FROM job_events e USING (
      SELECT j.id, kept.seq FROM jobs j CROSS JOIN LATERAL (
        SELECT seq FROM job_events WHERE job_id = j.id AND type = ANY(${passing})
        ORDER BY seq DESC OFFSET ${keep} LIMIT 1
      ) kept
      WHERE j.event_seq > ${keep} AND (j.finished_at IS NULL OR j.finished_at > now() - interval '1 hour')
    ) old
    WHERE e.job_id = old.id AND e.seq <= old.seq AND e.type = ANY(${passing})`;
}
