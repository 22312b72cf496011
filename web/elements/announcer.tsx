// What happens without a visible change of focus is said to screen readers, politely.
import { signal } from "@preact/signals";

const said = signal("");

export function announce(text: string): void {
  said.value = text;
}

export function Announcer() {
  return (
    <p class="visually-hidden" role="status">
      {said.value}
    </p>
  );
}
