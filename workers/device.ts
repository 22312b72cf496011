/**
 * The device process: owns the open models and saes and runs the engine. It hears from its supervisor alone and
 * ends when the supervisor goes away, so that no orphan keeps the memory of an accelerator.
 */

import { createDevice } from "./device-runtime.ts";
import type { FromDevice, ToDevice } from "./protocol.ts";

if (!process.send) throw new Error("device.ts is started by a supervisor (workers/main.ts), not by hand");

// Ctrl-C reaches the whole process group; stopping in order is the supervisor's business.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

const send = (message: FromDevice) => {
  // The callback swallows the error of a channel that has just closed: "disconnect" follows.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
};
const device = createDevice(send);

process.on("message", (message) => device.receive(message as ToDevice));
process.on("disconnect", () => process.exit(0));
