// From activations to steps of a colour scale: zero has none, the largest has the last.
export const shadeSteps = 8;

/** 0 for nothing, 1 to 8 in equal parts up to `largest`. */
export function shadeOf(value: number, largest: number): number {
  if (!(value > 0) || !(largest > 0)) return 0;
  return Math.min(shadeSteps, Math.max(1, Math.ceil((value / largest) * shadeSteps)));
}

export interface ValuedToken {
  readonly text: string;
  readonly value: number;
}

/** The strongest tokens in words, for those who cannot see the shades. */
export function strongestTokens(tokens: readonly ValuedToken[], count = 3): string {
  const active = tokens.filter(({ value }) => value > 0).sort((a, b) => b.value - a.value);
  if (active.length === 0) return "not active";
  return active
    .slice(0, count)
    .map(({ text, value }) => `“${visible(text)}” ${value.toPrecision(2)}`)
    .join(", ");
}

/** Tokens that are nothing but white space, or a part of a character, shown as marks. */
export function visible(text: string): string {
  if (text === "") return "∅";
  if (/^\ufffd+$/.test(text)) return "▯";
  return text.trim() === "" ? text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥") : text;
}
