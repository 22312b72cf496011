// Whether this machine has a device, and the words for a test that is skipped where it has not.

import { checkDevice, type Device } from "../../engine/runtime/session.ts";

/** null where the device works; else why not and what would make it work. */
export async function missing(device: Device): Promise<string | null> {
  return await checkDevice(device).then(
    () => null,
    (error: Error) => error.message,
  );
}
