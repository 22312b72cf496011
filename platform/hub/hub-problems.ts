// What the hub's refusals mean for whoever asked, and which of them may pass.
import { Problem } from "../../domain/problem.ts";

/** Thrown where trying again may help; what it ends as when it did not is `problem`. */
export class Passing extends Error {
  override readonly name = "Passing";
  readonly problem: Problem;
  /** How long the hub wants us to wait; null: it does not say. */
  readonly waitMs: number | null;

  constructor(problem: Problem, waitMs: number | null = null) {
    super(problem.message, { cause: problem });
    this.problem = problem;
    this.waitMs = waitMs;
  }
}

const TOO_MANY_REQUESTS = 429;
const passingStatuses = new Set([408, TOO_MANY_REQUESTS, 500, 502, 503, 504]);

/** An answer that is none, as an error to throw. `what` names the repository, revision or file that was asked for. */
export function refusalOf(answer: Response, what: string, hasToken: boolean): Passing | Problem {
  const { status, headers } = answer;
  const code = headers.get("x-error-code");
  const message = headers.get("x-error-message");
  const said = message === null ? "" : ` (${message.slice(0, 300)})`;
  if (passingStatuses.has(status)) {
    const waitMs = wantedWaitMs(headers);
    const problem =
      status === TOO_MANY_REQUESTS
        ? new Problem("HUB_RATE_LIMITED", `the hub answers 429 for ${what}${said}`, {
            ...(waitMs === null ? {} : { retryAfterS: Math.ceil(waitMs / 1000) }),
          })
        : new Problem("HUB_UNAVAILABLE", `the hub answers ${status} for ${what}${said}`);
    return new Passing(problem, waitMs);
  }
  if (code === "GatedRepo") {
    const how = hasToken
      ? "the token's account has not been granted access"
      : "name a token_secret whose account has been granted access";
    return new Problem("HUB_ACCESS_REFUSED", `${what} is gated: ${how}${said}`);
  }
  if (status === 404) return new Problem("HUB_NOT_FOUND", `the hub has no ${what}${said}`);
  // To strangers the hub does not say whether a repository is private or not there.
  if (status === 401 && !hasToken)
    return new Problem(
      "HUB_ACCESS_REFUSED",
      `${what} does not exist or is private; for a private one name a token_secret`,
    );
  if (status === 401) return new Problem("HUB_ACCESS_REFUSED", `the hub does not accept the token for ${what}${said}`);
  if (status === 403) return new Problem("HUB_ACCESS_REFUSED", `the hub does not give ${what}${said}`);
  return new Problem("HUB_UNAVAILABLE", `the hub answers ${status} for ${what}${said}`);
}

/** Seconds of Retry-After (or its date), or the time to the next window in the hub's own RateLimit header. */
function wantedWaitMs(headers: Headers): number | null {
  const after = headers.get("retry-after");
  const seconds = Number(after ?? Number.NaN);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = after === null ? Number.NaN : Date.parse(after);
  if (Number.isFinite(date)) return Math.max(0, date - Date.now());
  const window = /(?:^|;)\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "");
  return window ? Number(window[1]) * 1000 : null;
}
