/** The device's end of the calls to its supervisor: a number goes out, its answer comes back. */
import { reviveFailure } from "./failure.ts";
import type { Failure, FromDevice, SupervisorCalls } from "./protocol.ts";

export interface Calls {
  call<M extends keyof SupervisorCalls>(
    method: M,
    params: SupervisorCalls[M]["params"],
  ): Promise<SupervisorCalls[M]["value"]>;
  answered(call: number, value: unknown): void;
  refused(call: number, failure: Failure): void;
}

export function createCalls(send: (message: FromDevice) => void): Calls {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let last = 0;
  const take = (call: number) => {
    const waiter = waiting.get(call);
    waiting.delete(call);
    return waiter;
  };
  return {
    call(method, params) {
      last += 1;
      const waiter = Promise.withResolvers<unknown>();
      waiting.set(last, waiter);
      send({ type: "call", call: last, method, params });
      return waiter.promise as Promise<never>;
    },
    answered: (call, value) => take(call)?.resolve(value),
    refused: (call, failure) => take(call)?.reject(reviveFailure(failure)),
  };
}
