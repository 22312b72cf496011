/** Text made safe for element content and attribute values; characters that XML forbids are dropped. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(FORBIDDEN, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what XML 1.0 forbids
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/**
 * Estimated width of a text in ems. There is no font to measure: the file must look right with whatever sans-serif the reader has.
 * East Asian wide characters and emoji count 1, capitals and digits a little more than small letters.
 */
export function textWidthEm(text: string): number {
  let width = 0;
  for (const character of text) {
    if (
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]|[\u{1f300}-\u{1faff}]/u.test(
        character,
      )
    )
      width += 1;
    else if (/[A-Z0-9_@%&mwMW]/.test(character)) width += 0.66;
    else if (/[iljtf.,:;'|! ]/.test(character)) width += 0.32;
    else width += 0.56;
  }
  return width;
}

/** The text, cut with an ellipsis when it is wider than `maxEm`. */
export function fitText(text: string, maxEm: number): string {
  if (textWidthEm(text) <= maxEm) return text;
  let kept = "";
  for (const character of text) {
    if (textWidthEm(`${kept}${character}…`) > maxEm) break;
    kept += character;
  }
  return `${kept.trimEnd()}…`;
}

/** Coordinates need no more than a tenth of a pixel; shorter numbers keep the file small. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Colours that both charts share, for light and dark pages. */
export const THEME_CSS = `
  .paper{fill:#ffffff}.ink{fill:#1c2733}.muted{fill:#5b6875}.rule{stroke:#d9e0e7}.axis{stroke:#8794a1}
  text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans","Noto Sans CJK SC",sans-serif}
  .title{font-size:17px;font-weight:650}.subtitle{font-size:12.5px}.label{font-size:12.5px}.small{font-size:11px}
  .number{font-variant-numeric:tabular-nums}.end{text-anchor:end}.middle{text-anchor:middle}`;

export const DARK_THEME_CSS = `
  .paper{fill:#12181f}.ink{fill:#e8edf2}.muted{fill:#9ba8b5}.rule{stroke:#2b3641}.axis{stroke:#6b7885}`;

export interface SvgDocument {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly description: string;
  readonly css: string;
  readonly darkCss: string;
  readonly body: readonly string[];
}

/** One self-contained SVG file: no script, no font, no reference to anything outside; colours follow the reader's light or dark mode. */
export function svgDocument(document: SvgDocument): string {
  const { width, height } = document;
  const size = `width="${px(width)}" height="${px(height)}" viewBox="0 0 ${px(width)} ${px(height)}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escapeXml(document.title)}">`,
    `<title>${escapeXml(document.title)}</title>`,
    `<desc>${escapeXml(document.description)}</desc>`,
    `<style>${THEME_CSS}${document.css}\n  @media (prefers-color-scheme:dark){${DARK_THEME_CSS}${document.darkCss}}\n</style>`,
    `<rect class="paper" width="100%" height="100%"/>`,
    ...document.body,
    "</svg>\n",
  ].join("\n");
}
