import { metricTable } from "../../domain/metric.ts";
import type { Job } from "../api/follow-job.ts";
import { formatCount } from "../elements/format.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";

export function JobMetrics({ metrics }: Pick<Job, "metrics">) {
  const rows = metrics === null ? [] : flatten(metrics);
  if (rows.length === 0) return null;
  return (
    <section class="panel">
      <div class="panel-head">
        <h2>Metrics</h2>
      </div>
      <ScrollBox label="Table of metrics">
        <table>
          <tbody>
            {rows.map(({ name, title, unit, value }) => (
              <tr key={name}>
                <th scope="row">{title}</th>
                <td class="number">{value}</td>
                <td class="soft">{unit}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollBox>
    </section>
  );
}

interface MetricRow {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly value: string;
}

function flatten(metrics: Readonly<Record<string, unknown>>, prefix = ""): MetricRow[] {
  const table: Readonly<Record<string, { readonly title: string; readonly unit: string } | undefined>> = metricTable;
  return Object.entries(metrics).flatMap(([key, value]) => {
    const name = prefix === "" ? key : `${prefix}.${key}`;
    if (typeof value === "object" && value !== null) return flatten(value as Record<string, unknown>, name);
    const known = table[key];
    const title = known === undefined ? name.replaceAll("_", " ") : [prefix, known.title].filter(Boolean).join(" · ");
    const shown = typeof value === "number" ? formatCount(value) : String(value);
    return [{ name, title, unit: known?.unit ?? "", value: shown }];
  });
}
