// What goes wrong between this service and others: the hub, label and judge endpoints, and the secrets they need.
import type { ProblemEntry } from "./problem-entry.ts";

export const outboundProblems = {
  SECRET_NOT_FOUND: {
    status: 404,
    title: "There is no such secret",
    fix: "GET /v1/secrets lists the names of this workspace's secrets.",
  },
  SECRET_HOST_REFUSED: {
    status: 422,
    title: "The secret is not meant for this host",
    fix: "Name a secret whose `hosts` hold the host, or delete this one and create it with that host.",
  },
  SECRET_UNREADABLE: {
    status: 422,
    title: "The secret cannot be decrypted",
    fix: "The operator's SECRETS_KEY is another than when it was stored: delete the secret and create it again.",
  },
  HUB_ACCESS_REFUSED: {
    status: 422,
    title: "The hub does not give this",
    fix: "Store a token of an account that has access (POST /v1/secrets) and name it as `token_secret`.",
  },
  HUB_NOT_FOUND: {
    status: 422,
    title: "The hub has no such thing",
    fix: "Check repository, revision and layer.",
  },
  HUB_RATE_LIMITED: {
    status: 429,
    title: "The hub wants fewer requests",
    fix: "Wait, then resume the job: what has arrived is kept.",
    retryable: true,
  },
  HUB_UNAVAILABLE: {
    status: 502,
    title: "The hub could not serve this",
    fix: "Resume the job or submit it again: what has arrived is kept.",
    retryable: true,
  },
  OUTBOUND_REFUSED: {
    status: 422,
    title: "The address is not one that is asked",
    fix: "Name a public http or https address, or have the operator list it in OUTBOUND_ALLOW.",
  },
  ENDPOINT_REFUSED: {
    status: 422,
    title: "The endpoint refused the request",
    fix: "Check the endpoint's url, model and secret against what `detail` says.",
  },
  ENDPOINT_ANSWER_INVALID: {
    status: 422,
    title: "The endpoint's answer cannot be used",
    fix: "Check that the url is of a chat completions API, and that the model is able to follow the instructions.",
  },
  OUTBOUND_TOO_LARGE: {
    status: 422,
    title: "The other side's answer is too large",
    fix: "Check that the address is the one you meant.",
  },
  ENDPOINT_UNAVAILABLE: {
    status: 503,
    title: "The endpoint is overloaded or failing",
    fix: "Resume the job later; what was answered is kept.",
    retryable: true,
  },
  OUTBOUND_FAILED: {
    status: 502,
    title: "The other side could not be reached",
    fix: "Check the address, then try again.",
    retryable: true,
  },
  OUTBOUND_TIMEOUT: {
    status: 504,
    title: "The other side did not answer in time",
    fix: "Try again, or ask for less at a time.",
    retryable: true,
  },
  SECRETS_UNAVAILABLE: {
    status: 503,
    title: "This deployment cannot keep secrets",
    fix: "The operator sets SECRETS_KEY (32 random bytes in base64) for all API and worker processes.",
  },
} as const satisfies Record<string, ProblemEntry>;
