import type { FeatureExample } from "../../domain/feature.ts";
import { percent } from "../charts/ticks.ts";
import { ColouredText } from "../tokens/coloured-text.tsx";

interface ExampleListProps {
  readonly examples: readonly FeatureExample[];
  readonly largest: number | undefined;
}

/** The strongest ones first, then some of each octave below: a feature is what it does on all of them. */
export function ExampleList({ examples, largest }: ExampleListProps) {
  const bands = [...Map.groupBy(examples, ({ band }) => band)].sort(([a], [b]) => a - b);
  return (
    <>
      {bands.map(([band, members]) => (
        <section key={band} class="example-band">
          <h3>{titleOf(band)}</h3>
          <ol>
            {members.map((example) => (
              <li key={`${example.sample}:${example.position}`}>
                <ColouredText
                  tokens={example.tokens}
                  largest={largest}
                  peak={example.at}
                  label={`Example from sample ${example.sample}`}
                />
                <p class="small soft">
                  {`${example.value.toPrecision(3)} · ${rankOf(example.quantile)} · sample ${example.sample}, token ${example.position}`}
                </p>
              </li>
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}

function rankOf(quantile: number): string {
  return quantile > 0.99 ? "among its strongest" : `above ${percent(quantile)} of its activations`;
}

function titleOf(band: number): string {
  if (band === 0) return "Strongest";
  return band === 1 ? "Near the maximum" : `About 1/${2 ** (band - 1)} of the maximum`;
}
