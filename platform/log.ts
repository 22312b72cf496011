// Structured logs on standard output. Bodies never enter them: prompts are private and keys are secret.
import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger };

// Whoever logs a request, a job or a configuration by mistake logs these as "[redacted]".
const secretFields = [
  "authorization",
  "cookie",
  "password",
  "secret",
  "key",
  "token",
  "DATABASE_URL",
  "ADMIN_API_KEY",
  "AWS_SECRET_ACCESS_KEY",
];
const bodyFields = ["body", "input", "prompt", "prompts", "messages", "text", "texts", "content"];

export function createLog(options: { level: string; process: string; destination?: DestinationStream }): Logger {
  const fields = [...secretFields, ...bodyFields];
  return pino(
    {
      level: options.level,
      base: { process: options.process, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: [...fields, ...fields.map((field) => `*.${field}`), "req.headers.authorization", "req.headers.cookie"],
        censor: "[redacted]",
      },
    },
    ...(options.destination === undefined ? [] : [options.destination]),
  );
}
