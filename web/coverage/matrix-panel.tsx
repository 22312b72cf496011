import { useRef, useState } from "preact/hooks";
import { ChartExports } from "../charts/chart-exports.tsx";
import { csvOf } from "../charts/csv.ts";
import { HeatLegend } from "../charts/heat-legend.tsx";
import { HeatMap } from "../charts/heat-map.tsx";
import { type Analysis, intervalOf, type Measure, matrixOf, measures } from "./analysis-data.ts";
import { cellWords } from "./cell-words.ts";

interface Props {
  readonly analysis: Analysis;
  readonly selected: readonly [number, number];
  readonly onSelect: (row: number, column: number) => void;
}

export function MatrixPanel({ analysis, selected, onSelect }: Props) {
  const [measure, setMeasure] = useState<Measure>("overlap");
  const [specific, setSpecific] = useState(false);
  const [pointed, setPointed] = useState<readonly [number, number] | null>(null);
  const drawing = useRef<SVGSVGElement>(null);
  const names = analysis.benchmarks.map(({ name }) => name);
  const matrix = matrixOf(analysis, measure, specific);
  const words = (row: number, column: number) =>
    cellWords(
      measure,
      names[row] ?? "",
      names[column] ?? "",
      matrix[row]?.[column] ?? null,
      specific ? null : intervalOf(analysis, measure, row, column),
    );
  const csv = () =>
    csvOf([
      ["", ...analysis.order.map((i) => names[i] ?? "")],
      ...analysis.order.map((i) => [names[i] ?? "", ...analysis.order.map((j) => matrix[i]?.[j] ?? null)]),
    ]);
  const common = analysis.specific.common_features.length;
  return (
    <section class="panel" aria-labelledby="matrix-title">
      <div class="panel-head">
        <h2 id="matrix-title">Overlap</h2>
        <ChartExports name={`benchmark-${measure.replace("_", "-")}`} drawing={drawing} csv={csv} />
        <p>Percent. {measures[measure].words}; benchmarks alike stand together.</p>
      </div>
      <div class="matrix-controls">
        <fieldset class="segments" aria-label="Measure">
          {(Object.keys(measures) as Measure[]).map((name) => (
            <button key={name} type="button" aria-pressed={measure === name} onClick={() => setMeasure(name)}>
              {measures[name].title}
            </button>
          ))}
        </fieldset>
        {common > 0 && (
          <label class="check small">
            <input type="checkbox" checked={specific} onChange={() => setSpecific(!specific)} />
            {common === 1 ? "without 1 feature" : `without ${common} features`} common in any text
          </label>
        )}
      </div>
      <HeatMap
        label={`Matrix of ${measures[measure].title.toLowerCase()}, ${names.length} benchmarks`}
        names={names}
        matrix={matrix}
        order={analysis.order}
        tree={analysis.tree}
        selected={selected}
        onSelect={onSelect}
        onPoint={setPointed}
        words={words}
        drawing={drawing}
      />
      <div class="matrix-foot">
        <p class="small" aria-live="polite">
          {words(...(pointed ?? selected))}
        </p>
        <HeatLegend low="0" high="100 %" />
      </div>
    </section>
  );
}
