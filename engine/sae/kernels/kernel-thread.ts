// One thread of a team: sleeps until there is a turn, looks what it is about, works, and says so.

import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { type Kernels, shared, type TeamMessage, takeParts } from "./kernel-team.ts";
import { WebAssembly } from "./webassembly.ts";

const { control, threads } = workerData as { control: Int32Array; threads: number };
const open = new Map<number, Kernels>();

function follow(message: TeamMessage): void {
  if ("open" in message) {
    const { id, module, memory } = message.open;
    open.set(id, new WebAssembly.Instance(module, { memory }).exports);
  } else if ("release" in message) {
    for (const id of message.release) open.delete(id);
  } else {
    const { id, name, count, values } = message.call;
    takeParts(control, open.get(id)![name]!, count, threads, values);
  }
}

for (let turn = 0; ; ) {
  Atomics.wait(control, shared.turn, turn);
  turn = Atomics.load(control, shared.turn);
  try {
    for (let next = receiveMessageOnPort(parentPort!); next; next = receiveMessageOnPort(parentPort!)) {
      follow(next.message as TeamMessage);
    }
  } catch {
    Atomics.store(control, shared.failed, 1);
  }
  Atomics.sub(control, shared.busy, 1);
  Atomics.notify(control, shared.busy);
}
