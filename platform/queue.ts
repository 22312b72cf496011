// The queue carries an id; the row carries the rest.
import type { Transaction } from "./jobs.ts";

export type Device = "cpu" | "cuda" | "webgpu";

/** Work that any batch worker may take, or only one with that device. */
export function batchQueue(device: Device | "any"): string {
  return `batch.${device}`;
}

/** Completions and encodes of one model. */
export function interactiveQueue(modelId: string): string {
  return `interactive.${modelId}`;
}

/** One claim of one queued id. `attempt` fences it: when the claim lapses and another worker takes it, the old one settles nothing. */
export interface Delivery {
  readonly id: string;
  readonly queue: string;
  readonly attempt: number;
  /** The id of the job or request. */
  readonly subject: string;
}

export interface SendOptions {
  readonly priority?: number | undefined;
  readonly delaySeconds?: number | undefined;
}

export interface Consumer {
  /** Also takes from this queue from now on. */
  add(queue: string): Promise<void>;
  /** Takes no more; resolves when the handlers that run have returned. */
  stop(): Promise<void>;
}

export interface Queue {
  /** Creates the queue unless it exists. */
  ensure(queue: string): Promise<void>;
  /** In the caller's transaction; wakes consumers when that commits. Returns the delivery's id. */
  send(tx: Transaction, queue: string, subject: string, options?: SendOptions): Promise<string>;
  /**
   * Runs at most `concurrency` handlers at a time over all its queues. The handler settles the delivery through `claims`
   * or `requests`; when it returns the delivery is completed in any case, when it throws it is retried with backoff.
   */
  consume(
    options: { queues: readonly string[]; concurrency: number },
    handler: (delivery: Delivery) => Promise<void>,
  ): Promise<Consumer>;
  /** Renews claims; returns the ids still held. */
  touch(deliveries: readonly Delivery[]): Promise<ReadonlySet<string>>;
  /** Ends the delivery, fenced by its attempt; part of `tx` when given. */
  complete(delivery: Delivery, tx?: Transaction): Promise<void>;
  close(): Promise<void>;
}
