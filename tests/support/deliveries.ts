// Takes one delivery from a queue by hand, so that a test decides what happens to it and when.
import type { Platform } from "../../platform/platform.ts";
import type { Delivery } from "../../platform/queue.ts";

/** The next delivery of the queue. Nothing settles it afterwards: the handler that took it never returns. */
export async function takeDelivery(platform: Platform, queue: string): Promise<Delivery> {
  const taken = await platform.queue.take(queue);
  if (taken === null) throw new Error(`nothing is ready on ${queue}`);
  return taken;
}
