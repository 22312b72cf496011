// Every error that a client can be told: code, status, title and what to do next. Printed at /problems.
import { outboundProblems } from "./outbound-problems.ts";
import type { ProblemEntry } from "./problem-entry.ts";

export const problemTable = {
  REQUEST_MALFORMED: {
    status: 400,
    title: "The request could not be read",
    fix: "Send well-formed JSON (or the declared content type) in UTF-8.",
  },
  VALIDATION_FAILED: {
    status: 400,
    title: "The request does not fit its schema",
    fix: "Correct the fields that `errors` points at; the schema is in /openapi.json.",
  },
  UNSUPPORTED_PARAMETER: {
    status: 400,
    title: "A parameter is known but not supported",
    fix: "Leave the parameter out or send its neutral value.",
  },
  CURSOR_INVALID: {
    status: 400,
    title: "The cursor is not one of ours",
    fix: "Use `next_cursor` of the previous page unchanged, with the same filters.",
  },
  CONTEXT_LENGTH_EXCEEDED: {
    status: 400,
    title: "The prompt does not fit the model's context",
    fix: "Shorten the prompt or lower max_tokens; a benchmark analysis can cut prompts (`overlong`).",
  },
  AUTHENTICATION_REQUIRED: {
    status: 401,
    title: "No API key was given",
    fix: "Send `Authorization: Bearer <key>`.",
  },
  KEY_INVALID: {
    status: 401,
    title: "The API key is not valid",
    fix: "Check the key; it may have been revoked or mistyped.",
  },
  SCOPE_INSUFFICIENT: {
    status: 403,
    title: "The API key lacks a scope",
    fix: "Use a key with the scope that `detail` names.",
  },
  HOST_REFUSED: {
    status: 403,
    title: "The Host header is not a loopback name",
    fix: "Without keys the server only answers to localhost; create keys to serve other hosts.",
  },
  ORIGIN_REFUSED: {
    status: 403,
    title: "The page's origin may not call this server",
    fix: "Add the origin to CORS_ORIGINS, or call from the same origin.",
  },
  ROUTE_NOT_FOUND: { status: 404, title: "There is no such route", fix: "See /docs for the routes and their methods." },
  MODEL_NOT_FOUND: {
    status: 404,
    title: "There is no such model",
    fix: "GET /v1/models lists the models of this workspace.",
  },
  VARIANT_NOT_FOUND: {
    status: 404,
    title: "There is no such variant",
    fix: "GET /v1/variants lists the variants of this workspace.",
  },
  SAE_NOT_FOUND: {
    status: 404,
    title: "There is no such sae",
    fix: "GET /v1/saes lists the saes of this workspace.",
  },
  TEMPLATE_NOT_FOUND: {
    status: 404,
    title: "There is no such prompt template",
    fix: "GET /v1/templates lists the ready ones and those of this workspace.",
  },
  DATASET_NOT_FOUND: {
    status: 404,
    title: "There is no such dataset",
    fix: "GET /v1/datasets lists the datasets of this workspace.",
  },
  ARTIFACT_NOT_FOUND: {
    status: 404,
    title: "There is no such artifact",
    fix: "Check the id; artifacts of other workspaces are invisible.",
  },
  JOB_NOT_FOUND: {
    status: 404,
    title: "There is no such job",
    fix: "GET /v1/jobs lists the jobs of this workspace.",
  },
  KEY_NOT_FOUND: { status: 404, title: "There is no such key", fix: "GET /v1/keys lists the keys of this workspace." },
  NAME_TAKEN: {
    status: 409,
    title: "The name is taken",
    fix: "Choose another name or delete what holds this one.",
  },
  RESOURCE_IN_USE: {
    status: 409,
    title: "Something still uses this",
    fix: "Delete or wait for what `detail` names first.",
  },
  JOB_STATE_CONFLICT: {
    status: 409,
    title: "The job's state does not allow this",
    fix: "Read the job and act on its current state.",
  },
  CHECKPOINT_MISSING: {
    status: 409,
    title: "The job has no checkpoint to resume from",
    fix: "Start a new job with the same input.",
  },
  ARTIFACT_NOT_READY: {
    status: 409,
    title: "The artifact's upload is not complete",
    fix: "Upload every part and complete the upload first.",
  },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    title: "A request with this Idempotency-Key is still running",
    fix: "Wait and send the same request again.",
    retryable: true,
  },
  BODY_TOO_LARGE: {
    status: 413,
    title: "The body is too large",
    fix: "Send less, or upload the file as an artifact.",
  },
  DATASET_TOO_LARGE: {
    status: 413,
    title: "The dataset is over the limit",
    fix: "Split the dataset; the limits are in the detail.",
  },
  MEDIA_TYPE_UNSUPPORTED: {
    status: 415,
    title: "The content type is not accepted here",
    fix: "Use a content type that the route's documentation lists.",
  },
  DATASET_FORMAT_UNKNOWN: {
    status: 415,
    title: "The file's format is not known",
    fix: "Send JSONL, CSV, TSV, Parquet or plain text (each also gzipped) with a matching file name.",
  },
  RANGE_NOT_SATISFIABLE: {
    status: 416,
    title: "The range lies outside the content",
    fix: "Ask for bytes within size_bytes.",
  },
  REFERENCE_NOT_FOUND: {
    status: 422,
    title: "A field names something that does not exist",
    fix: "Check the id or name in the field that `errors` points at.",
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: "The Idempotency-Key was used with another request",
    fix: "Use a new key for a new request.",
  },
  JOB_KIND_UNKNOWN: {
    status: 422,
    title: "There is no such job kind",
    fix: "Use one of the kinds that `detail` lists.",
  },
  LAYER_OUT_OF_RANGE: {
    status: 422,
    title: "The model has no such layer",
    fix: "Layers count from 0 to the model's `layers` minus 1.",
  },
  K_ABOVE_WIDTH: {
    status: 422,
    title: "k is above the sae's width",
    fix: "Lower k or raise width.",
  },
  SETTINGS_CONTRADICTORY: {
    status: 422,
    title: "Two settings contradict each other",
    fix: "Change one of the fields that `errors` points at.",
  },
  SAE_MODEL_MISMATCH: {
    status: 422,
    title: "The sae does not belong to this model",
    fix: "Use saes whose model_id is the model in the request.",
  },
  DIMENSION_MISMATCH: {
    status: 422,
    title: "A vector or matrix has the wrong size",
    fix: "Match the model's d_model (and the sae's width) that `detail` gives.",
  },
  STEERING_INVALID: {
    status: 422,
    title: "The steering edit is against its rules",
    fix: "See which ops take which units and values in the description of `steering`.",
  },
  STEERING_OVERFLOW: {
    status: 422,
    title: "The steering takes the model's numbers out of range",
    fix: "Lower the values of the edits on the layer that `detail` names.",
  },
  SELECTION_EMPTY: {
    status: 422,
    title: "The edit selects no token",
    fix: "Widen apply.prompt or apply.generation.",
  },
  FEATURE_NOT_FOUND: {
    status: 422,
    title: "The sae has no such feature",
    fix: "Features count from 0 to the sae's width minus 1; write them as {sae_id}:{index}.",
  },
  FEATURE_STATISTICS_MISSING: {
    status: 422,
    title: "A statistic that the unit needs is missing",
    fix: "Use the unit `absolute`, or make the statistic first as `detail` says.",
  },
  PATH_OUTSIDE_ROOTS: {
    status: 422,
    title: "The directory is not under an allowed root",
    fix: "Put the files under one of the operator's MODEL_ROOTS.",
  },
  FILE_NOT_FOUND: {
    status: 422,
    title: "A file is missing",
    fix: "Check the path that `detail` names.",
  },
  MODEL_UNSUPPORTED: {
    status: 422,
    title: "The model is of a kind that is not supported",
    fix: "See the list of model families in the documentation.",
  },
  WEIGHTS_INVALID: {
    status: 422,
    title: "The weights file is not valid",
    fix: "Export or download the file again; `detail` says what is wrong.",
  },
  TENSOR_MISSING: {
    status: 422,
    title: "A tensor is missing from the weights",
    fix: "Supply the tensor that `detail` names.",
  },
  DATASET_INVALID: {
    status: 422,
    title: "A row of the dataset cannot be used",
    fix: "Correct the row that `detail` names; rows count from 1.",
  },
  DATASET_ENCODING_INVALID: {
    status: 422,
    title: "The dataset is not valid UTF-8",
    fix: "Save the file as UTF-8.",
  },
  DATASET_TOO_SMALL: {
    status: 422,
    title: "The dataset has too little text for this",
    fix: "Use a larger dataset, or ask for less.",
  },
  DIGEST_MISMATCH: {
    status: 422,
    title: "The bytes do not match their digest",
    fix: "Upload the file again.",
  },
  UPLOAD_INCOMPLETE: {
    status: 422,
    title: "Parts of the upload are missing",
    fix: "Upload the missing parts, then complete again.",
  },
  MEMORY_INSUFFICIENT: {
    status: 422,
    title: "No worker has enough memory for this",
    fix: "Lower the sizes that `detail` names or add a larger worker.",
  },
  TRAINING_NOT_FINITE: {
    status: 422,
    title: "The training produced a value that is not finite",
    fix: "Lower the learning rate or look at the data near the step that `detail` names.",
  },
  TRAINING_UNSTABLE: {
    status: 422,
    title: "The training's loss rose far above what it had been",
    fix: "Lower the learning rate, raise spike_factor, or look at the batch that `detail` names; a resumed job goes on from its last checkpoint.",
  },
  CHECKPOINT_MISMATCH: {
    status: 422,
    title: "The checkpoint belongs to another run",
    fix: "Resume on a worker with the runtime and instruction set that `detail` names, or submit the training again.",
  },
  RATE_LIMITED: {
    status: 429,
    title: "Too many requests",
    fix: "Wait as long as Retry-After says.",
    retryable: true,
  },
  ACTIVATIONS_MISMATCH: {
    status: 422,
    title: "The harvested activations do not fit this training",
    fix: "Harvest activations of this model, dataset and layers, or name what was harvested.",
  },
  RELEASE_INCOMPLETE: {
    status: 409,
    title: "Some jobs of the release did not succeed",
    fix: "Read the jobs that `detail` names, then resume the release: only what is missing runs again.",
  },
  DISK_SPACE_INSUFFICIENT: {
    status: 422,
    title: "The worker's disk has too little room",
    fix: "Free the space that `detail` names in the worker's DATA_DIR, or import fewer layers at a time.",
  },
  JOB_CRASHED: {
    status: 500,
    title: "The job crashed its worker repeatedly",
    fix: "Read the job's events: it got no further between the crashes.",
  },
  INTERNAL_ERROR: {
    status: 500,
    title: "Something broke on our side",
    fix: "Try again; if it stays, report the request id.",
    retryable: true,
  },
  WORKER_LOST: {
    status: 503,
    title: "The worker went away while it served this",
    fix: "Send the request again.",
    retryable: true,
  },
  WORKER_UNAVAILABLE: {
    status: 503,
    title: "No worker can serve this now",
    fix: "Wait as long as Retry-After says, or start a worker for the model.",
    retryable: true,
  },
  SERVICE_UNAVAILABLE: {
    status: 503,
    title: "The service is not ready",
    fix: "Try again shortly.",
    retryable: true,
  },
  ...outboundProblems,
} as const satisfies Record<string, ProblemEntry>;

export type ProblemCode = keyof typeof problemTable;
export const problemCodes = Object.keys(problemTable) as ProblemCode[];
