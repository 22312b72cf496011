// Okabe and Ito's colours without yellow (too pale on paper) and black (the ink): distinct with every kind of colour vision.
export const SERIES_LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b98900", "#56a8d8", "#6b5bb5"] as const;
export const SERIES_DARK = ["#4da3dc", "#f08a45", "#2fc79a", "#e59cc5", "#e6b422", "#8fd0f5", "#a99bea"] as const;
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 5", "1 5", "5 2 1 2 1 2"] as const;

/** Class and dash of the i-th line: told apart by colour and, beyond seven, by dashes as well. */
export function lineStyle(index: number): string {
  const dash = DASHES[Math.floor(index / SERIES_LIGHT.length) % DASHES.length]!;
  return `class="line c${index % SERIES_LIGHT.length}"${dash ? ` stroke-dasharray="${dash}"` : ""}`;
}

const rules = (colours: readonly string[]) => colours.map((colour, i) => `.c${i}{stroke:${colour}}`).join("");

export const SERIES_CSS = `\n  .line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}.rule,.axis{fill:none;stroke-width:1}\n  ${rules(SERIES_LIGHT)}`;
export const SERIES_DARK_CSS = rules(SERIES_DARK);
