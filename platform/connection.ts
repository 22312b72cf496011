// The plain driver, for what Prisma cannot do: LISTEN, session locks, multi-statement migrations.
import pg from "pg";

export type Connection = pg.Client;

export async function openConnection(url: string, name: string, connectTimeoutMs = 10_000): Promise<Connection> {
  const client = new pg.Client({
    connectionString: url,
    application_name: name,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  });
  // Without a listener a dropped connection would end the process; whoever waits on it sees the rejection of its query.
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** A safely quoted SQL identifier. */
export const quoteIdentifier: (name: string) => string = pg.escapeIdentifier;
