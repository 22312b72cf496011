// A process that owns a data folder, for tests that kill it: prints the database's address, then waits.
import { startEmbeddedPostgres } from "../../platform/embedded-postgres.ts";

const [folder] = process.argv.slice(2);
const postgres = await startEmbeddedPostgres(folder as string, ["fsync=off"]);
process.stdout.write(`${postgres.url}\n`);
process.on("SIGTERM", () => void postgres.stop().then(() => process.exit(0)));
setInterval(() => {}, 60_000);
