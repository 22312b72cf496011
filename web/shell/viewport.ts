import { computed, signal } from "@preact/signals";

const query = matchMedia("(max-width: 44rem)");
const matches = signal(query.matches);
query.addEventListener("change", () => {
  matches.value = query.matches;
});

/** A phone's width: drawings get fewer units, so that their letters stay readable. The same limit as in the style sheets. */
export const narrow = computed(() => matches.value);
