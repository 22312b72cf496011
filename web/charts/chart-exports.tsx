import type { RefObject } from "preact";
import { saveText } from "../api/download.ts";
import { savePng, saveSvg } from "./export-svg.ts";

interface Props {
  /** What the chart shows: "overlap". */
  readonly name: string;
  readonly drawing: RefObject<SVGSVGElement | null>;
  readonly csv?: () => string;
}

export function ChartExports({ name, drawing, csv }: Props) {
  const draw = (save: (svg: SVGSVGElement, name: string) => unknown) => () => {
    if (drawing.current) save(drawing.current, name);
  };
  return (
    <fieldset class="exports" aria-label={`Save ${name.replaceAll("-", " ")}`}>
      <button type="button" class="button quiet" onClick={draw(savePng)}>
        PNG
      </button>
      <button type="button" class="button quiet" onClick={draw(saveSvg)}>
        SVG
      </button>
      {csv && (
        <button type="button" class="button quiet" onClick={() => saveText(`${name}.csv`, csv(), "text/csv")}>
          CSV
        </button>
      )}
    </fieldset>
  );
}
