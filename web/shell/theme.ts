// Light or dark: the system's choice until the reader makes one.
import { computed, effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";

const remembered = "qwen-scope.theme";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const system = signal<Theme>(prefersDark.matches ? "dark" : "light");
prefersDark.addEventListener("change", () => {
  system.value = prefersDark.matches ? "dark" : "light";
});
const stored = localStorage.getItem(remembered);
const chosen = signal<Theme | null>(stored === "light" || stored === "dark" ? stored : null);

/** What is shown now. Charts that compute colours read it, so that they are drawn anew. */
export const theme = computed(() => chosen.value ?? system.value);

export function switchTheme(): void {
  chosen.value = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(remembered, chosen.value);
}

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});
