// The configuration: one schema, one parse, one frozen object. The keys are the names of the environment variables,
// so that what a person sets and what the code reads is the same word. Nothing else reads process.env.
import { type Static, type TSchema, Type } from "typebox";
import { Value } from "typebox/value";
import { parseAllowedPlaces } from "./outbound-addresses.ts";

const text = (description: string, options: Record<string, unknown> = {}) => Type.String({ description, ...options });
const optional = (description: string) => Type.Optional(text(description));
const whole = (description: string, standard: number, minimum = 0, maximum = Number.MAX_SAFE_INTEGER) =>
  Type.Integer({ description, default: standard, minimum, maximum });
const choice = <const V extends readonly string[]>(
  values: V,
  description: string,
  options: Record<string, unknown> = {},
) => Type.Unsafe<V[number]>({ type: "string", enum: [...values], description, ...options });
const list = (description: string, standard: string[] = []) =>
  Type.Array(Type.String({ minLength: 1 }), { description: `${description} Separated by commas.`, default: standard });

export const ConfigSchema = Type.Object({
  HOST: text("Address the API listens on. Anything but loopback needs AUTH=on.", { default: "127.0.0.1" }),
  PORT: whole("Port the API listens on; 0 takes a free one.", 8080, 0, 65535),
  TRUST_PROXY: Type.Boolean({ description: "Believe X-Forwarded-* headers (behind a reverse proxy).", default: false }),
  AUTH: Type.Optional(
    choice(
      ["on", "off"],
      "Whether requests need an API key. Default: off on loopback, on elsewhere; off is refused elsewhere.",
    ),
  ),
  ADMIN_API_KEY: optional(
    "An admin key that is made to exist at start (stored hashed): the first key of a deployment.",
  ),
  CORS_ORIGINS: list("Origins of web pages that may call the API."),
  LOG_LEVEL: choice(
    ["fatal", "error", "warn", "info", "debug", "trace", "silent"],
    "Least severe level that is logged.",
    {
      default: "info",
    },
  ),

  DATA_DIR: text("Folder of the embedded database, the artifacts on disk and the caches.", { default: ".data" }),
  DATABASE_URL: optional("PostgreSQL ≥ 14. When absent a server of our own runs in DATA_DIR."),
  DATABASE_POOL_SIZE: whole(
    "Connections of one process to the database, besides four for queue and notifications.",
    10,
    1,
    1000,
  ),

  S3_BUCKET: optional("Bucket of the artifacts. When absent they lie in DATA_DIR."),
  S3_ENDPOINT: optional("Address of an S3-compatible server. Absent: AWS."),
  S3_PUBLIC_ENDPOINT: optional("The same server as clients reach it, for presigned addresses. Default: S3_ENDPOINT."),
  S3_REGION: text("Region of the bucket.", { default: "us-east-1" }),
  S3_PREFIX: text("Prefix of every key in the bucket.", { default: "" }),
  S3_PRESIGN: Type.Boolean({
    description: "Send clients to presigned addresses; off streams through the API.",
    default: true,
  }),
  AWS_ACCESS_KEY_ID: optional("Credentials for S3. Absent: the SDK's own search (profile, role, metadata)."),
  AWS_SECRET_ACCESS_KEY: optional("Belongs to AWS_ACCESS_KEY_ID."),

  MODEL_ROOTS: list("Folders below which `directory` sources may lie.", ["assets"]),

  HF_ENDPOINT: text(
    "The Hugging Face hub, or a mirror of it; it is asked even where it is not on the public internet.",
    {
      default: "https://huggingface.co",
      pattern: "^https?://[^/?#@]+(/[^?#]*[^/?#])?$",
    },
  ),
  HF_TOKEN: optional("Token for the hub where a source names no token_secret; all workspaces use it."),
  SECRETS_KEY: optional(
    "Encrypts the workspaces' secrets: 32 bytes in base64 (openssl rand -base64 32), the same for all processes. With the embedded database absent is fine: then a key is made in DATA_DIR.",
  ),
  OUTBOUND_ALLOW: list(
    "Hosts (host or host:port), addresses and ranges (10.1.0.0/16) that requests to label and judge endpoints and to the hub may reach though they are not on the public internet.",
  ),

  BODY_LIMIT_BYTES: whole("Largest JSON body.", 10 * 2 ** 20, 1024),
  UPLOAD_LIMIT_BYTES: whole("Largest file of a multipart upload through the API.", 2 * 2 ** 30, 1024),
  ARTIFACT_LIMIT_BYTES: whole("Largest artifact.", 64 * 2 ** 30, 1024),
  RATE_LIMIT_PER_MINUTE: whole("Requests per minute and API key (or workspace when AUTH is off); 0 is no limit.", 1200),
  REQUEST_RETENTION_MINUTES: whole("How long the texts of completions are kept for replay.", 60, 1, 1440),

  WORKER_CLASS: choice(["interactive", "batch"], "What a worker serves: completions and encodes, or jobs.", {
    default: "batch",
  }),
  DEVICE: choice(
    ["cpu", "cuda", "webgpu"],
    "What a worker computes on. A worker whose device is missing does not start.",
    {
      default: "cpu",
    },
  ),
  WORKER_MODELS: list("Models (ids or names) an interactive worker serves; empty serves all."),
  WORKER_MEMORY_BYTES: whole("Memory a worker may plan with; 0 takes what the machine has.", 0),
  WORKER_CACHE_BYTES: whole(
    "Memory of an interactive worker for keys and values of running completions and of prompts kept for later ones; 0 takes an eighth of its memory.",
    0,
  ),
  WORKER_MAX_BATCH: whole(
    "Texts of one model that an interactive worker generates together; more wait their turn. On two cores more than 16 slow every stream and give no more tokens in total.",
    16,
    1,
    1024,
  ),
  THREADS: whole("Threads of one worker; 0 takes the cores of the machine.", 0, 0, 1024),
  STEP_DEADLINE_SECONDS: whole("A device process that reports no step for so long is killed.", 600, 10, 86400),
});

export type Config = Readonly<Omit<Static<typeof ConfigSchema>, "AUTH"> & { AUTH: "on" | "off" }>;

/** What is wrong with the environment, all of it, for a person. */
export class ConfigInvalid extends Error {
  override readonly name = "ConfigInvalid";
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Parses an environment; every wrong key is named in one ConfigInvalid. Empty strings count as absent. */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(ConfigSchema.properties) as [string, TSchema][]) {
    const raw = environment[key]?.trim();
    const value =
      raw === undefined || raw === ""
        ? structuredClone((schema as { default?: unknown }).default)
        : readValue(schema, raw);
    if (value === undefined) continue;
    for (const error of Value.Errors(schema, value))
      problems.push(`${key}: ${error.message} (it is ${JSON.stringify(raw)})`);
    values[key] = value;
  }
  const parsed = values as Static<typeof ConfigSchema>;
  const loopback = isLoopback(parsed.HOST);
  const AUTH = parsed.AUTH ?? (loopback ? "off" : "on");
  if (AUTH === "off" && !loopback)
    problems.push(
      `AUTH: off is allowed on loopback only, and HOST is ${parsed.HOST}. Set AUTH=on (and ADMIN_API_KEY), or HOST=127.0.0.1`,
    );
  if ((parsed.AWS_ACCESS_KEY_ID === undefined) !== (parsed.AWS_SECRET_ACCESS_KEY === undefined))
    problems.push("AWS_ACCESS_KEY_ID: it and AWS_SECRET_ACCESS_KEY come together");
  try {
    parseAllowedPlaces(parsed.OUTBOUND_ALLOW);
  } catch (error) {
    problems.push(`OUTBOUND_ALLOW: ${(error as Error).message}`);
  }
  if (parsed.SECRETS_KEY !== undefined && Buffer.from(parsed.SECRETS_KEY, "base64").byteLength !== 32)
    problems.push("SECRETS_KEY: 32 bytes in base64, as `openssl rand -base64 32` prints them");
  if (parsed.ADMIN_API_KEY !== undefined && parsed.ADMIN_API_KEY.length < 24)
    problems.push("ADMIN_API_KEY: at least 24 characters, or it can be guessed");
  if (problems.length > 0) throw new ConfigInvalid(`The configuration is not valid.\n  ${problems.join("\n  ")}`);
  return Object.freeze({ ...parsed, AUTH });
}

function readValue(schema: TSchema, raw: string): unknown {
  const type = (schema as { type?: string }).type;
  if (type === "integer") return /^-?\d+$/.test(raw) ? Number(raw) : raw;
  if (type === "boolean")
    return { true: true, on: true, "1": true, false: false, off: false, "0": false }[raw.toLowerCase()] ?? raw;
  if (type === "array")
    return raw
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "");
  return raw;
}

/** The process's own configuration, with overrides as a start script or a test needs them. */
export function loadConfig(overrides: Readonly<Record<string, string | undefined>> = {}): Config {
  return parseConfig({ ...process.env, ...overrides });
}

/** The environment for a child process: this one's, and what the child must see differently. */
export function childEnvironment(overrides: Readonly<Record<string, string>>): Record<string, string> {
  return { ...(process.env as Record<string, string>), ...overrides };
}

/** The text of .env.example. */
export function describeConfig(): string {
  const lines = [
    "# Every setting, with its default. Printed from platform/config.ts by `npx tsx scripts/print-env-example.ts`.",
    "",
  ];
  for (const [key, schema] of Object.entries(ConfigSchema.properties) as [string, TSchema][]) {
    const {
      description,
      default: standard,
      enum: values,
    } = schema as { description?: string; default?: unknown; enum?: string[] };
    lines.push(`# ${description ?? ""}${values === undefined ? "" : ` One of ${values.join(", ")}.`}`);
    lines.push(`# ${key}=${standard === undefined ? "" : String(standard)}`, "");
  }
  return lines.join("\n");
}
