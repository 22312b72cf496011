import { useRef } from "preact/hooks";
import { Bars } from "../charts/bars.tsx";
import { ChartExports } from "../charts/chart-exports.tsx";
import { csvOf } from "../charts/csv.ts";
import type { Analysis } from "./analysis-data.ts";

export function RedundancyPanel({ analysis }: { readonly analysis: Analysis }) {
  const drawing = useRef<SVGSVGElement>(null);
  const sorted = analysis.benchmarks.toSorted((a, b) => (b.redundancy ?? -1) - (a.redundancy ?? -1));
  const bars = sorted.map(({ name, redundancy, redundancy_interval: interval }) => ({
    name,
    value: redundancy,
    low: interval?.low,
    high: interval?.high,
  }));
  const csv = () =>
    csvOf([
      ["benchmark", "redundancy", "low", "high"],
      ...bars.map(({ name, value, low, high }) => [name, value, low ?? null, high ?? null]),
    ]);
  return (
    <section class="panel" aria-labelledby="redundancy-title">
      <div class="panel-head">
        <h2 id="redundancy-title">Redundancy</h2>
        <ChartExports name="benchmark-redundancy" drawing={drawing} csv={csv} />
        <p>R̂, how much samples of a benchmark repeat each other's features, with 95 % intervals. It may pass 1.</p>
      </div>
      <Bars label="Redundancy" bars={bars} drawing={drawing} />
    </section>
  );
}
