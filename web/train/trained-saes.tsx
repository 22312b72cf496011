import { metricTable } from "../../domain/metric.ts";
import { useSaes } from "../api/catalog.ts";
import { formatFigure } from "../elements/format.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";
import { linkTo } from "../shell/router.ts";

const columns = ["fraction_variance_unexplained", "l0_per_token", "dead_fraction", "cross_entropy_recovered"] as const;

/** What came of it, as measured on held-out text. */
export function TrainedSaes({ ids }: { readonly ids: readonly string[] }) {
  const saes = useSaes();
  const trained = saes.value?.filter(({ id }) => ids.includes(id)) ?? [];
  if (trained.length === 0) return null;
  return (
    <section class="panel" aria-label="Trained saes">
      <div class="panel-head">
        <h2>Measured on held-out text</h2>
      </div>
      <ScrollBox label="Metrics of the trained saes">
        <table>
          <thead>
            <tr>
              <th scope="col">Sae</th>
              {columns.map((name) => (
                <th key={name} scope="col" class="number" title={metricTable[name].definition}>
                  {metricTable[name].title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {trained.map((sae) => (
              <tr key={sae.id}>
                <th scope="row">
                  <a href={linkTo("features", [sae.name])}>{sae.name}</a>
                </th>
                {columns.map((name) => (
                  <td key={name} class="number">
                    {formatFigure(sae.metrics[name])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollBox>
    </section>
  );
}
