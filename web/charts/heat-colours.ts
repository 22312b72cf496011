// From nothing to all in one hue of rising depth, so that order shows without seeing colour; a list for each theme.
export type Theme = "light" | "dark";

const stops: Readonly<Record<Theme, readonly string[]>> = {
  light: ["#f2f5f5", "#d0e4e7", "#93c5ce", "#4a9bab", "#146678", "#06333e"],
  dark: ["#1b2228", "#1d3a45", "#1f5b6a", "#2f8b9e", "#74cade", "#d8f5fb"],
};

/** Black and white contrast alike with a ground of this luminance: (L + 0.05)² = 1.05 · 0.05. */
const evenContrast = 0.179;

type Rgb = readonly [number, number, number];

function rgbOf(hex: string): Rgb {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The colour of a share, and an ink that can be read on it (contrast ≥ 4.5 at every share). */
export function heatColour(share: number, theme: Theme): { readonly fill: string; readonly ink: string } {
  const list = stops[theme];
  const at = Math.min(1, Math.max(0, share)) * (list.length - 1);
  const below = Math.min(list.length - 2, Math.floor(at));
  const from = rgbOf(list[below]!);
  const to = rgbOf(list[below + 1]!);
  const mixed = from.map((value, i) => Math.round(value + (to[i]! - value) * (at - below))) as unknown as Rgb;
  const ink = luminance(mixed) > evenContrast ? "#000000" : "#ffffff";
  return { fill: `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`, ink };
}

/** Relative luminance as WCAG defines it. */
export function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as unknown as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
