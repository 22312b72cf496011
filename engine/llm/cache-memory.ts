// The bytes that keys and values may take in a process, whatever models they belong to: first what running requests may come to need,
// and in the rest the prefixes kept for later ones.
//
// A request reserves its whole need before it starts and gives it back when it ends. Starting with less and growing would use memory
// better, but then a running request could find none left, and reading it again later would give it other bits.

import { createPrefixStore, type PrefixStore } from "./prefix-store.ts";

export interface CacheMemory {
  readonly limitBytes: number;
  readonly prefixes: PrefixStore;
  /** Bytes that running requests have reserved. */
  readonly reservedBytes: number;
  /** A place in the order of arrival over all accounts. */
  ticket(): number;
  openAccount(): CacheAccount;
}

/** What one model's requests have reserved together. */
export interface CacheAccount {
  /** The account's new total, asked for by the request of that ticket; false: it must wait, and nobody who came later is let before it. */
  raise(totalBytes: number, ticket: number): boolean;
  /** Nobody of this account waits for room any more. */
  stopWaiting(): void;
  /** The account's new total after something ended. */
  lower(totalBytes: number): void;
  /** Resolves when there may be more room than there was, or after `wake`. */
  room(): Promise<void>;
  wake(): void;
  close(): void;
}

export function createCacheMemory(limitBytes: number): CacheMemory {
  interface Account {
    held: number;
    waitingTicket: number | null;
    wake: () => void;
  }
  const accounts = new Set<Account>();
  const reserved = () => [...accounts].reduce((sum, { held }) => sum + held, 0);
  const prefixes = createPrefixStore(() => limitBytes - reserved());
  let tickets = 0;
  const wakeAll = () => {
    for (const account of accounts) account.wake();
  };

  return {
    limitBytes,
    prefixes,
    get reservedBytes() {
      return reserved();
    },
    ticket: () => ++tickets,
    openAccount() {
      const own: Account = { held: 0, waitingTicket: null, wake: () => {} };
      accounts.add(own);
      const account: CacheAccount = {
        raise(totalBytes, ticket) {
          const olderWaits = [...accounts].some(
            ({ waitingTicket }) =>
              waitingTicket !== null && waitingTicket < ticket && own.waitingTicket !== waitingTicket,
          );
          const others = reserved() - own.held;
          if (olderWaits || others + totalBytes > limitBytes) {
            own.waitingTicket = ticket;
            return false;
          }
          own.held = totalBytes;
          own.waitingTicket = null;
          prefixes.shrinkTo(limitBytes - others - totalBytes);
          wakeAll();
          return true;
        },
        stopWaiting() {
          if (own.waitingTicket === null) return;
          own.waitingTicket = null;
          wakeAll();
        },
        lower(totalBytes) {
          if (totalBytes === own.held) return;
          own.held = totalBytes;
          wakeAll();
        },
        room: () =>
          new Promise<void>((resolve) => {
            own.wake = resolve;
          }),
        wake: () => own.wake(),
        close() {
          accounts.delete(own);
          prefixes.drop(account);
          wakeAll();
        },
      };
      return account;
    },
  };
}
