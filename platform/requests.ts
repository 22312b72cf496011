// Interactive requests: text events in rows, NOTIFY as a pointer, gone after the replay window.
import type { Request, RequestEvent } from "../prisma/client/client.ts";
import type { Json, Transaction } from "./jobs.ts";
import type { Delivery } from "./queue.ts";

export type RequestRow = Request;
export type RequestEventRow = RequestEvent;

export interface NewRequest {
  readonly id: string;
  readonly workspaceId: string;
  readonly apiKeyId?: string | undefined;
  readonly kind: string;
  readonly modelId: string;
  readonly input: Json;
  readonly priority?: number | undefined;
}

export interface RequestClaim {
  readonly request: RequestRow;
  readonly requestId: string;
  readonly epoch: number;
  readonly delivery: Delivery;
}

export interface RequestEventInput {
  readonly type: string;
  readonly data: Json;
}

/** The type of the event that ends a stream; its data is `{state, error?}`. Every other type is the worker's own. */
export const REQUEST_END = "end";

export interface Requests {
  // the API's side
  /** Writes the row and its delivery on the model's queue in one transaction. The caller wants it from now on for the lease. */
  create(request: NewRequest, tx?: Transaction): Promise<RequestRow>;
  /** Rows after `after` as they come, ending after the event of type REQUEST_END. Renews `wanted_until` while it is read; a reader that leaves (return, abort) lets the lease lapse at once. */
  subscribe(requestId: string, options: { after?: number; signal: AbortSignal }): AsyncIterable<RequestEventRow>;
  /** Nobody wants it any more. */
  release(requestId: string): Promise<void>;
  /** True when a live, not draining worker serves the model's queue. */
  hasWorker(modelId: string): Promise<boolean>;

  // the worker's side
  /** Null: ended, unwanted, or lost after its first event (which this call ends with an error event); the delivery is settled. */
  admit(delivery: Delivery, workerId: string): Promise<RequestClaim | null>;
  /** Writes a batch of events in one statement. `wanted: false` means: stop, free the slot (stale epoch, or the client left). */
  append(claim: RequestClaim, events: readonly RequestEventInput[]): Promise<{ readonly wanted: boolean }>;
  /** The last events and the end. False when another epoch or an end was first. */
  finish(
    claim: RequestClaim,
    end: { state: "succeeded" | "failed" | "canceled"; error?: Json; events?: readonly RequestEventInput[] },
  ): Promise<boolean>;
  /** Of these claims, those that are still wanted (one query), and renews their queue heartbeat. Call every 1–2 s. */
  stillWanted(claims: readonly RequestClaim[]): Promise<ReadonlySet<string>>;
  /** Back on the queue (the worker drains before it wrote an event), else ended with an error event. */
  giveBack(claim: RequestClaim): Promise<void>;
  /** Ends requests nobody wants, ends those of dead workers, deletes text older than the replay window. */
  sweep(): Promise<void>;
}
