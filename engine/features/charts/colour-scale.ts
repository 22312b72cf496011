/**
 * A sequential scale of one hue: only lightness and strength change with the value, so it reads the same with every kind of
 * colour vision and in grey print. Two versions: on a light page more is darker, on a dark page more is lighter.
 */
export type Rgb = readonly [number, number, number];

const LIGHT: readonly Rgb[] = [
  [243, 247, 250],
  [196, 221, 236],
  [127, 184, 216],
  [58, 138, 190],
  [21, 92, 150],
  [8, 48, 97],
];
const DARK: readonly Rgb[] = [
  [25, 34, 43],
  [24, 58, 84],
  [22, 92, 135],
  [44, 135, 184],
  [112, 187, 222],
  [205, 234, 249],
];

const PALE_INK: Rgb = [255, 255, 255];
const DARK_INK: Rgb = [3, 7, 11];

/** Steps of the scale: 5 % each is finer than an eye can tell apart between neighbours. */
export const SCALE_STEPS = 21;

export function scaleStep(share: number): number {
  return Math.round(Math.min(1, Math.max(0, share)) * (SCALE_STEPS - 1));
}

export interface ScaleColour {
  readonly fill: Rgb;
  /** The more readable of two inks on that fill. */
  readonly ink: Rgb;
}

export function scaleColours(mode: "light" | "dark"): ScaleColour[] {
  const anchors = mode === "light" ? LIGHT : DARK;
  return Array.from({ length: SCALE_STEPS }, (_, step) => {
    const fill = interpolate(anchors, step / (SCALE_STEPS - 1));
    return { fill, ink: contrast(fill, PALE_INK) >= contrast(fill, DARK_INK) ? PALE_INK : DARK_INK };
  });
}

/** CSS of the classes `.s0` … `.s20` (a cell's fill) and `.t0` … `.t20` (the text on it). */
export function scaleCss(mode: "light" | "dark"): string {
  return scaleColours(mode)
    .map(({ fill, ink }, step) => `.s${step}{fill:${hex(fill)}}.t${step}{fill:${hex(ink)}}`)
    .join("");
}

/** Contrast ratio of two colours, 1 to 21 (WCAG 2.2). */
export function contrast(a: Rgb, b: Rgb): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

function interpolate(anchors: readonly Rgb[], share: number): Rgb {
  const position = share * (anchors.length - 1);
  const from = Math.min(Math.floor(position), anchors.length - 2);
  const part = position - from;
  const [a, b] = [anchors[from]!, anchors[from + 1]!];
  return [mix(a[0], b[0], part), mix(a[1], b[1], part), mix(a[2], b[2], part)];
}

function mix(a: number, b: number, part: number): number {
  return Math.round(a + (b - a) * part);
}

function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map((channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function hex(colour: Rgb): string {
  return `#${colour.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}
