// What a person sees: plain lines everywhere, colour and a moving progress bar only on a terminal.

import type { JobView } from "./http.ts";

const tty = process.stdout.isTTY === true;
const colour = tty && process.env.NO_COLOR === undefined;

const wrapIn = (open: number, close: number) => (text: string) =>
  colour ? `\u001b[${open}m${text}\u001b[${close}m` : text;
export const bold = wrapIn(1, 22);
export const dim = wrapIn(2, 22);
export const cyan = wrapIn(36, 39);
export const green = wrapIn(32, 39);
export const yellow = wrapIn(33, 39);

/** A background of the 256-colour greys-to-blue ramp, for heat maps; the plain text elsewhere. */
export function shade(text: string, share: number): string {
  if (!colour) return text;
  const ramp = [234, 235, 236, 17, 18, 19, 25, 26, 32, 38];
  const background = ramp[Math.min(ramp.length - 1, Math.floor(share * ramp.length))]!;
  return `\u001b[48;5;${background}m\u001b[38;5;255m${text}\u001b[0m`;
}

export function heading(number: number, text: string): void {
  console.log(`\n${cyan(bold(`${number}`))}  ${bold(text)}`);
}

export const line = (text = ""): void => console.log(text === "" ? "" : `   ${text}`);

/** Columns a text takes on a terminal: Chinese, Japanese and full-width marks take two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/.test(character) ? 2 : 1;
  return width;
}

/** Prints a text in lines of at most `width` columns behind a label. */
export function labelled(label: string, text: string, width = 84): void {
  const lines: string[] = [""];
  for (const piece of text
    .replaceAll("\n", " ⏎ ")
    .match(/[\p{Script=Han}，。！？、：；]|[^\s\p{Script=Han}，。！？、：；]+\s*|\s+/gu) ?? []) {
    if (widthOf(lines.at(-1)! + piece.trimEnd()) > width) lines.push("");
    lines[lines.length - 1] += piece;
  }
  lines.forEach((part, index) => {
    line(`${dim((index === 0 ? label : "").padEnd(10))}${part.trimEnd()}`);
  });
}

/** Shows a job's progress: a bar that moves on a terminal, a line at every quarter elsewhere. */
export function progressBar(label: string): { show(job: JobView): void; end(note: string): void } {
  let quarter = 0;
  const clear = () => {
    if (tty) process.stdout.write("\r\u001b[2K");
  };
  return {
    show({ state, progress }) {
      const share = progress?.total ? Math.min(1, progress.done / progress.total) : 0;
      const rate = progress?.rate ? `${compact(progress.rate)} ${progress.unit}/s` : state;
      const left = progress?.eta_s ? `${Math.ceil(progress.eta_s)} s left` : "";
      if (tty) {
        const filled = Math.round(share * 28);
        const bar = cyan("█".repeat(filled)) + dim("░".repeat(28 - filled));
        clear();
        process.stdout.write(
          `   ${label}  ${bar} ${String(Math.round(share * 100)).padStart(3)} %  ${dim(`${rate}  ${left}`)}`,
        );
      } else if (share * 4 >= quarter + 1) {
        quarter = Math.floor(share * 4);
        line(`${label}  ${Math.round(share * 100)} %  ${rate}`);
      }
    },
    end(note) {
      clear();
      line(`${green("✓")} ${label}  ${dim(note)}`);
    },
  };
}

export function compact(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${Math.round(value / 1e3)} k`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)} k`;
  return String(Math.round(value));
}
