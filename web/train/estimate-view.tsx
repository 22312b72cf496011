import type { Schemas } from "../api/client.ts";
import { shortNumber } from "../charts/ticks.ts";
import { formatBytes, formatSeconds } from "../elements/format.ts";

export type TrainEstimate = Schemas["SaeTrainEstimate"];

export function EstimateView({ estimate, stale }: { readonly estimate: TrainEstimate; readonly stale: boolean }) {
  const { duration_s, memory_bytes, output_bytes, steps, parameters } = estimate;
  return (
    <dl class="estimate-figures" aria-busy={stale}>
      <div>
        <dt>Time</dt>
        <dd>{formatSeconds(duration_s)}</dd>
      </div>
      <div>
        <dt>Memory</dt>
        <dd>{formatBytes(memory_bytes)}</dd>
      </div>
      <div>
        <dt>Weights</dt>
        <dd>{formatBytes(output_bytes)}</dd>
      </div>
      <div>
        <dt>Steps</dt>
        <dd>{steps.toLocaleString("en")}</dd>
      </div>
      <div>
        <dt>Parameters</dt>
        <dd>{shortNumber(Number(parameters.toPrecision(3)))}</dd>
      </div>
    </dl>
  );
}
