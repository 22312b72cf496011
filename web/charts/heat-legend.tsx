import { theme } from "../shell/theme.ts";
import { heatColour } from "./heat-colours.ts";

const steps = 24;

export function HeatLegend({ low, high }: { readonly low: string; readonly high: string }) {
  return (
    <p class="heat-legend">
      {low}
      <svg width={steps * 5} height="10" aria-hidden="true">
        {Array.from({ length: steps }, (_, i) => (
          <rect key={i} x={i * 5} width="5.5" height="10" fill={heatColour(i / (steps - 1), theme.value).fill} />
        ))}
      </svg>
      {high}
    </p>
  );
}
