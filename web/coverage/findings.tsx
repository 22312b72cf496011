import { formatCount, formatShare } from "../elements/format.ts";
import type { Analysis } from "./analysis-data.ts";

const fewSuggestions = 6;

/** What a reader should take away, before any chart. */
export function Findings({ analysis }: { readonly analysis: Analysis }) {
  const { benchmarks, suite, merge } = analysis;
  const most = suite.coreset?.targets.find(({ share }) => share === 0.95);
  const figures = [
    { value: formatCount(benchmarks.length), words: benchmarks.length === 1 ? "benchmark" : "benchmarks" },
    { value: formatCount(suite.samples), words: "samples" },
    { value: formatCount(suite.features), words: "features in all" },
    ...(most ? [{ value: formatCount(most.samples), words: "samples reach 95 % of them" }] : []),
  ];
  return (
    <section class="findings" aria-label="Findings">
      <ul class="figures">
        {figures.map(({ value, words }) => (
          <li key={words}>
            <strong>{value}</strong> {words}
          </li>
        ))}
      </ul>
      {merge.suggestions.length > 0 && (
        <div class="suggestions">
          <h2>Could be dropped</h2>
          <SuggestionList suggestions={merge.suggestions.slice(0, fewSuggestions)} />
          {merge.suggestions.length > fewSuggestions && (
            <details>
              <summary>{merge.suggestions.length - fewSuggestions} more</summary>
              <SuggestionList suggestions={merge.suggestions.slice(fewSuggestions)} />
            </details>
          )}
        </div>
      )}
    </section>
  );
}

function SuggestionList({ suggestions }: { readonly suggestions: Analysis["merge"]["suggestions"] }) {
  return (
    <ul>
      {suggestions.map(({ drop, keep, overlap, lost }) => (
        <li key={drop}>
          <strong>{drop}</strong>: {keep} covers {formatShare(overlap, 0)} of its features;{" "}
          {lost === 0 ? "nothing is lost" : `the suite loses ${lost === 1 ? "1 feature" : `${lost} features`}`}.
        </li>
      ))}
    </ul>
  );
}
