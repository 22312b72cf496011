import { useEffect, useState } from "preact/hooks";
import type { FeatureSort } from "../../domain/feature.ts";
import type { Sae } from "../api/catalog.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { useSettled } from "../elements/use-settled.ts";
import { goTo, linkTo } from "../shell/router.ts";
import { FeatureTable } from "./feature-table.tsx";
import { IndexOffer } from "./index-offer.tsx";
import { useFound } from "./use-found.ts";

interface FeatureListProps {
  readonly sae: Sae;
  readonly query: URLSearchParams;
}

const sorts: Readonly<Record<FeatureSort, string>> = {
  index: "number",
  firing_rate: "how often it fires",
  max_activation: "largest activation",
  decoder_norm: "decoder norm",
  relevance: "relevance",
};

export function FeatureList({ sae, query }: FeatureListProps) {
  const [words, setWords] = useState(query.get("query") ?? "");
  const [sort, setSort] = useState<FeatureSort>((query.get("sort") as FeatureSort | null) ?? "firing_rate");
  const asked = useSettled(words.trim());
  const effective = asked === "" && sort === "relevance" ? "firing_rate" : sort;
  const { found, more, reload } = useFound(sae.id, asked, effective);
  useEffect(() => {
    const said = {
      ...(asked === "" ? {} : { query: asked }),
      ...(effective === "firing_rate" ? {} : { sort: effective }),
    };
    goTo(linkTo("features", [sae.name], said), { replace: true });
  }, [sae.name, asked, effective]);
  const measured = found.features.some(({ firing_rate }) => firing_rate !== null);
  // Before the index there is nothing to tell one from another by, but for labels.
  const shown = measured ? found.features : found.features.filter(({ label }) => label !== null);
  return (
    <>
      <search class="feature-search">
        <div class="field">
          <label for="feature-words">Search labels and promoted tokens</label>
          <input
            id="feature-words"
            type="search"
            value={words}
            onInput={(event) => {
              if (words === "" && event.currentTarget.value !== "") setSort("relevance");
              setWords(event.currentTarget.value);
            }}
          />
        </div>
        <div class="field">
          <label for="feature-sort">Sorted by</label>
          <select
            id="feature-sort"
            value={effective}
            onChange={(event) => setSort(event.currentTarget.value as FeatureSort)}
          >
            {Object.entries(sorts).map(([name, title]) => (
              <option key={name} value={name} disabled={name === "relevance" && asked === ""}>
                {title}
              </option>
            ))}
          </select>
        </div>
      </search>
      {found.problem && <ProblemNotice problem={found.problem} retry={reload} />}
      {!found.loading && !found.problem && !measured && asked === "" && <IndexOffer sae={sae} done={reload} />}
      {/^\d+$/.test(asked) && Number(asked) < sae.width && (
        <p>
          <a href={linkTo("features", [sae.name, asked])}>{`Open feature ${asked}`}</a>
        </p>
      )}
      {shown.length > 0 && <FeatureTable sae={sae} features={shown} />}
      {!found.loading && found.features.length === 0 && asked !== "" && (
        <p class="empty">Nothing matches. Labels are searched by their words, tokens by what they begin with.</p>
      )}
      {found.loading && <p class="loading">Loading…</p>}
      {found.cursor !== null && !found.loading && measured && (
        <button type="button" class="button more" onClick={more}>
          Show more
        </button>
      )}
    </>
  );
}
