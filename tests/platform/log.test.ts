import { expect, test } from "vitest";
import { createLog } from "../../platform/log.ts";

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  let output = "";
  const destination = {
    write(line: string) {
      output += line;
    },
  };
  write(createLog({ level: "info", process: "test", destination }));
  return output;
}

test("bodies and secrets do not enter the log, whoever logs them", () => {
  const secret = "the prompt of a customer";
  const output = logged((log) => {
    log.info({ body: { prompt: secret }, req: { headers: { authorization: secret } } }, "request");
    log.info({ job: { input: { texts: [secret] } }, config: { DATABASE_URL: secret, ADMIN_API_KEY: secret } }, "job");
    log.info({ messages: [secret], password: secret }, "chat");
  });
  expect(output).not.toContain(secret);
  expect(output).toContain("[redacted]");
});

test("a line says when, how bad, which process and what", () => {
  const line = JSON.parse(logged((log) => log.warn({ job_id: "job_1" }, "the queue is full")));
  expect(line).toMatchObject({ level: "warn", process: "test", job_id: "job_1", msg: "the queue is full" });
  expect(Date.parse(line.time)).not.toBeNaN();
});
