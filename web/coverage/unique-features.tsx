import type { Analyzed } from "./analysis-data.ts";
import { FeatureLink } from "./feature-link.tsx";

const shownExamples = 2;

export function UniqueFeatures({ benchmark, open = false }: { readonly benchmark: Analyzed; readonly open?: boolean }) {
  const { name, unique_features: features } = benchmark;
  if (features.length === 0) return <p class="small soft">Every feature of {name} is in another benchmark too.</p>;
  return (
    <details class="unique" open={open}>
      <summary>Only in {name}</summary>
      <ul class="mentions">
        {features.map(({ feature, label, samples, examples }) => (
          <li key={feature}>
            <FeatureLink feature={feature} label={label} />
            <span class="small soft">{samples === 1 ? "1 sample" : `${samples} samples`}</span>
            {examples.slice(0, shownExamples).map(({ row, prompt }) => (
              <q key={row} class="small">
                {prompt}
              </q>
            ))}
          </li>
        ))}
      </ul>
    </details>
  );
}
