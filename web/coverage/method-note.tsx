import type { Analysis } from "./analysis-data.ts";

/** What was done, so that the figures can be repeated and judged. */
export function MethodNote({ analysis }: { readonly analysis: Analysis }) {
  const { model, saes, position, specific, max_samples, seed, definitions, benchmarks } = analysis;
  const cut = benchmarks.reduce((sum, benchmark) => sum + benchmark.cut, 0);
  const facts = [
    `Model ${model.name}`,
    `features of ${saes.map(({ name }) => name).join(", ")} at ${positionWords[position] ?? position}`,
    max_samples === null ? "all samples" : `at most ${max_samples} samples each, seed ${seed}`,
    `${specific.common_features.length} features fire on more than ${specific.common_above * 100} % of neutral text (${specific.neutral})`,
    ...(cut > 0 ? [`${cut} prompts were cut on the left to fit the model`] : []),
  ];
  return (
    <section class="method-note small" aria-label="Method">
      <p>{facts.join("; ")}.</p>
      <details>
        <summary>Definitions</summary>
        <dl class="facts">
          {Object.entries(definitions).map(([name, words]) => (
            <div key={name}>
              <dt>{name.replaceAll("_", " ")}</dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

const positionWords: Readonly<Record<string, string>> = {
  last: "the last token",
  mean: "the mean over the prompt",
  any: "any token",
};
