import { useState } from "preact/hooks";
import { saveText } from "../api/download.ts";
import { csvOf } from "../charts/csv.ts";
import { LineChart } from "../charts/line-chart.tsx";
import { formatCount, formatShare } from "../elements/format.ts";
import type { Analysis } from "./analysis-data.ts";
import { coresetRows, type Order, ordersOf, samplesFor } from "./coreset-rows.ts";

const plotted = 200;

/** The fewest samples for a share of the features, as a list to take away. */
export function CoresetPanel({ analysis }: { readonly analysis: Analysis }) {
  const [scope, setScope] = useState(0);
  const [percent, setPercent] = useState(95);
  const orders = ordersOf(analysis);
  const order = orders[scope] ?? orders[0];
  if (order === undefined) return null;
  const count = samplesFor(order, percent / 100);
  const covered = order.covered[count - 1] ?? 0;
  const save = () => {
    const name = `coreset-${percent}-${order.name.replaceAll(" ", "-")}.csv`;
    saveText(name, csvOf(coresetRows(analysis, order, count)), "text/csv");
  };
  return (
    <section class="panel coreset" aria-labelledby="coreset-title">
      <div class="panel-head">
        <h2 id="coreset-title">A smaller set</h2>
        <p>Samples in the order in which each adds the most features that none before it has.</p>
      </div>
      <div class="coreset-columns">
        <div class="coreset-choice">
          <label class="field">
            <span class="field-label">Of</span>
            <select value={scope} onChange={(event) => setScope(Number(event.currentTarget.value))}>
              {orders.map(({ name }, i) => (
                <option key={name} value={i}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <label class="field">
            <span class="field-label">Share of the features: {percent} %</span>
            <input
              type="range"
              min={50}
              max={100}
              value={percent}
              onInput={(event) => setPercent(event.currentTarget.valueAsNumber)}
            />
          </label>
          <p role="status" class="coreset-answer">
            <strong>{formatCount(count)}</strong> of {formatCount(order.samples)} samples (
            {formatShare(count / Math.max(1, order.samples))}) cover {formatCount(covered)} of{" "}
            {formatCount(order.features)} features.
          </p>
          <button type="button" class="button primary" onClick={save}>
            Download the list
          </button>
        </div>
        <LineChart
          title="Features covered"
          xTitle="samples"
          series={[{ name: "greedy choice", points: pointsOf(order) }]}
          spanX={[0]}
          spanY={[0]}
        />
      </div>
    </section>
  );
}

function pointsOf({ covered }: Order) {
  const step = Math.max(1, Math.ceil(covered.length / plotted));
  const points = covered.map((y, i) => ({ x: i + 1, y })).filter(({ x }) => x % step === 0 || x === covered.length);
  return [{ x: 0, y: 0 }, ...points];
}
