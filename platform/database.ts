// Prisma over the JavaScript driver; no native engine.
import { PrismaPg } from "@prisma/adapter-pg";
import { type Prisma, PrismaClient } from "../prisma/client/client.ts";

// The rows as others see them: nobody outside this folder imports the generated client.
export type {
  ApiKey,
  Artifact,
  Dataset,
  FeatureIndex,
  Job,
  JobEvent,
  Model,
  PromptTemplate,
  Sae,
  Secret,
  Variant,
  Workspace,
} from "../prisma/client/client.ts";

/** A transaction, or the database itself where one statement is enough. */
export type Transaction = Prisma.TransactionClient;
export type Json = Prisma.InputJsonValue;

export function createDatabase(url: string, options: { poolSize: number; process: string }): PrismaClient {
  const adapter = new PrismaPg({
    connectionString: url,
    max: options.poolSize,
    application_name: `qwen-scope ${options.process}`,
    connectionTimeoutMillis: 10_000,
  });
  // Interactive transactions wait for a row that a worker or a cancel holds; both hold it for milliseconds.
  return new PrismaClient({ adapter, transactionOptions: { maxWait: 10_000, timeout: 20_000 } });
}
