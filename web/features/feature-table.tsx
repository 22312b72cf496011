import type { Feature } from "../../domain/feature.ts";
import type { Sae } from "../api/catalog.ts";
import { percent, shortNumber } from "../charts/ticks.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";
import { linkTo } from "../shell/router.ts";
import { FeatureFlags, FeatureWords } from "./feature-words.tsx";

export function FeatureTable({ sae, features }: { readonly sae: Sae; readonly features: readonly Feature[] }) {
  return (
    <ScrollBox label="Features" class="table-box feature-table">
      <table>
        <thead>
          <tr>
            <th scope="col">Feature</th>
            <th scope="col">What it is</th>
            <th scope="col" class="number">
              Fires on
            </th>
            <th scope="col" class="number">
              Largest
            </th>
          </tr>
        </thead>
        <tbody>
          {features.map((feature) => (
            <tr key={feature.index}>
              <th scope="row">
                <a class="mono" href={linkTo("features", [sae.name, String(feature.index)])}>
                  {feature.index}
                </a>
              </th>
              <td>
                <FeatureWords feature={feature} /> <FeatureFlags feature={feature} />
              </td>
              <td class="number">{feature.firing_rate === null ? "–" : percent(feature.firing_rate)}</td>
              <td class="number">{feature.max_activation === null ? "–" : shortNumber(feature.max_activation)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollBox>
  );
}
