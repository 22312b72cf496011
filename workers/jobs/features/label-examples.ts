/** An index's examples of a feature as a language model reads them: some to find the label, others to test it. */
import type { FeatureDetailsLine, FeatureExample } from "../../../domain/feature.ts";

export interface SplitExamples {
  readonly shown: readonly FeatureExample[];
  /** From texts of which nothing is shown. */
  readonly held: readonly FeatureExample[];
}

/** Every second example is held out, so that both halves reach from the strongest to the weakest band. */
export function splitExamples(details: FeatureDetailsLine, limits: { shown: number; held: number }): SplitExamples {
  const active = details.examples.filter(({ value }) => value > 0);
  if (limits.held === 0) return { shown: spread(active, limits.shown), held: [] };
  const shown = spread(
    active.filter((_, i) => i % 2 === 0),
    limits.shown,
  );
  const texts = new Set(shown.map(({ sample }) => sample));
  const others = active.filter((example, i) => i % 2 === 1 && !texts.has(example.sample));
  return { shown, held: spread(others, limits.held) };
}

/** At most `count` of them, evenly over their order. */
function spread<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!);
}

const STRONGEST = 5;

/** The text with its active tokens between << and >>, and the strongest of them with strengths of 1 to 10. */
export function markedText({ tokens }: FeatureExample, maximum: number): string {
  let text = "";
  let isInside = false;
  for (const { text: piece, value } of tokens) {
    if (value > 0 !== isInside) text += isInside ? ">>" : "<<";
    isInside = value > 0;
    text += piece;
  }
  if (isInside) text += ">>";
  const strongest = tokens
    .filter(({ value }) => value > 0)
    .toSorted((a, b) => b.value - a.value)
    .slice(0, STRONGEST)
    .map(({ text: piece, value }) => `${JSON.stringify(piece)} ${Math.max(1, Math.round((10 * value) / maximum))}`);
  return `${text}\n  (${strongest.join(", ")})`;
}

export function plainText({ tokens }: FeatureExample): string {
  return tokens.map(({ text }) => text).join("");
}
