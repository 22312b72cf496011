import type { Dataset, Sae } from "../api/catalog.ts";
import { bundledBenchmarks, middleSae } from "./setup-state.ts";

interface Props {
  readonly datasets: readonly Dataset[];
  readonly saes: readonly Sae[];
  readonly busy: boolean;
  readonly begin: (input: object) => Promise<void>;
}

/** For a first visit: a result without choosing anything. */
export function QuickStart({ datasets, saes, busy, begin }: Props) {
  const bundled = bundledBenchmarks(datasets);
  const sae = middleSae(saes.filter(({ name }) => name.startsWith("demo-small")));
  if (bundled.length < 3 || sae === null) return null;
  const input = {
    model_id: sae.model_id,
    sae_ids: [sae.id],
    benchmarks: bundled.map(({ id }) => ({ dataset_id: id })),
  };
  return (
    <section class="quick-start" aria-label="Example">
      <div>
        <h2>See it at work</h2>
        <p>
          {bundled.length} small benchmarks come with the server: a copy, a subset, five languages, and one that shares
          nothing with the others. It takes a few seconds.
        </p>
      </div>
      <button type="button" class="button primary" disabled={busy} onClick={() => begin(input)}>
        Compare the examples
      </button>
    </section>
  );
}
