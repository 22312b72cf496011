// The API key of this tab: kept in sessionStorage, sent in a header, never part of an address.
import { computed, signal } from "@preact/signals";

const place = "qwen-scope.api-key";
const held = signal<string | null>(sessionStorage.getItem(place));
const refused = signal<"missing" | "invalid" | null>(null);

export const apiKey = computed(() => held.value);
/** Why the API wants a key before it goes on; null while it has not asked. */
export const keyWanted = computed(() => refused.value);

export function enterKey(key: string): void {
  sessionStorage.setItem(place, key);
  held.value = key;
  refused.value = null;
}

export function forgetKey(): void {
  sessionStorage.removeItem(place);
  held.value = null;
  refused.value = "missing";
}

export function keyRefused(): void {
  refused.value = held.value === null ? "missing" : "invalid";
}

export function authorization(): Record<string, string> {
  return held.value === null ? {} : { authorization: `Bearer ${held.value}` };
}
