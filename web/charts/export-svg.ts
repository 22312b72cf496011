// A drawing of the page as a file of its own: what style sheets say is written into its attributes.
import { saveBlob } from "../api/download.ts";

const kept = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-linecap",
  "stroke-linejoin",
  "opacity",
  "font-size",
  "font-weight",
];
const margin = 16;
const fontFamily = "system-ui, 'Segoe UI', Roboto, Arial, sans-serif";

interface Drawn {
  readonly text: string;
  readonly width: number;
  readonly height: number;
}

export function standaloneSvg(drawing: SVGSVGElement): Drawn {
  const copy = drawing.cloneNode(true) as SVGSVGElement;
  const originals = drawing.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, i) => {
    const original = originals[i];
    if (original === undefined || element.tagName === "title") return;
    const style = getComputedStyle(original);
    for (const name of kept) {
      const value = style.getPropertyValue(name);
      if (value !== "") element.setAttribute(name, value);
    }
    element.removeAttribute("class");
  });
  const { width, height } = drawing.viewBox.baseVal;
  const [outerWidth, outerHeight] = [width + 2 * margin, height + 2 * margin];
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `${-margin} ${-margin} ${outerWidth} ${outerHeight}`);
  copy.setAttribute("width", String(outerWidth));
  copy.setAttribute("height", String(outerHeight));
  copy.setAttribute("font-family", fontFamily);
  copy.removeAttribute("class");
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  ground.setAttribute("x", String(-margin));
  ground.setAttribute("y", String(-margin));
  ground.setAttribute("width", String(outerWidth));
  ground.setAttribute("height", String(outerHeight));
  ground.setAttribute("fill", getComputedStyle(document.documentElement).backgroundColor);
  copy.prepend(ground);
  return { text: new XMLSerializer().serializeToString(copy), width: outerWidth, height: outerHeight };
}

export function saveSvg(drawing: SVGSVGElement, name: string): void {
  saveBlob(`${name}.svg`, new Blob([standaloneSvg(drawing).text], { type: "image/svg+xml" }));
}

/** At twice the drawing's size, for slides and dense screens. */
export async function savePng(drawing: SVGSVGElement, name: string): Promise<void> {
  const { text, width, height } = standaloneSvg(drawing);
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    const picture = new Image(width, height);
    picture.src = address;
    await picture.decode();
    const canvas = document.createElement("canvas");
    canvas.width = 2 * width;
    canvas.height = 2 * height;
    canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const png = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
    if (png !== null) saveBlob(`${name}.png`, png);
  } finally {
    URL.revokeObjectURL(address);
  }
}
