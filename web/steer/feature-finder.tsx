// Two ways to a feature: by the words of its label or the tokens it promotes, and by texts that it should tell apart.
import { useState } from "preact/hooks";
import type { Sae } from "../api/catalog.ts";
import { useResource } from "../api/use-resource.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { Segments } from "../elements/segments.tsx";
import { useSettled } from "../elements/use-settled.ts";
import { listFeatures } from "../features/feature-api.ts";
import { FeatureFlags, FeatureWords } from "../features/feature-words.tsx";
import { linkTo } from "../shell/router.ts";
import { ContrastFinder } from "./contrast-finder.tsx";

interface FeatureFinderProps {
  readonly saes: readonly Sae[];
  choose(reference: string): void;
}

const ways = { words: "By words", texts: "By example texts" };

export function FeatureFinder({ saes, choose }: FeatureFinderProps) {
  const [way, setWay] = useState<keyof typeof ways>("words");
  if (saes.length === 0) return <p class="note">No sae is registered for this model. Train or import one first.</p>;
  return (
    <div class="finder">
      <Segments
        legend="How to find a feature"
        quiet
        name="finder-way"
        options={ways}
        value={way}
        choose={(next) => setWay(next)}
      />
      {way === "words" ? <WordFinder saes={saes} choose={choose} /> : <ContrastFinder saes={saes} choose={choose} />}
    </div>
  );
}

function WordFinder({ saes, choose }: FeatureFinderProps) {
  const [saeName, setSae] = useState(middleOf(saes).name);
  const [words, setWords] = useState("");
  const sae = saes.find(({ name }) => name === saeName) ?? middleOf(saes);
  const query = useSettled(words.trim());
  const { value, problem, loading } = useResource(`${sae.id}?${query}`, (signal) =>
    listFeatures(sae.id, { query, sort: query === "" ? "firing_rate" : "relevance", cursor: null, limit: 8 }, signal),
  );
  // Before the index there is nothing to tell one from another by.
  const known = value?.data.filter(({ label, firing_rate }) => label !== null || firing_rate !== null) ?? [];
  return (
    <>
      <div class="steer-row">
        <div class="field">
          <label for="finder-words">Label, token or number</label>
          <input
            id="finder-words"
            type="search"
            value={words}
            onInput={(event) => setWords(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter") event.preventDefault();
            }}
          />
        </div>
        <div class="field">
          <label for="finder-sae">In</label>
          <select id="finder-sae" value={sae.name} onChange={(event) => setSae(event.currentTarget.value)}>
            {saes.map(({ id, name, layer }) => (
              <option key={id} value={name}>{`layer ${layer} · ${name}`}</option>
            ))}
          </select>
        </div>
      </div>
      {problem && <ProblemNotice problem={problem} />}
      <ul class="finder-results" aria-busy={loading}>
        {/^\d+$/.test(query) && Number(query) < sae.width && (
          <li>
            <button type="button" onClick={() => choose(`${sae.name}:${query}`)}>
              <span class="mono">{query}</span> <span>use this number</span>
            </button>
          </li>
        )}
        {known.map((feature) => (
          <li key={feature.index}>
            <button type="button" onClick={() => choose(`${sae.name}:${feature.index}`)}>
              <span class="mono">{feature.index}</span>
              <span>
                <FeatureWords feature={feature} /> <FeatureFlags feature={feature} />
              </span>
            </button>
          </li>
        ))}
      </ul>
      {value !== null && known.length === 0 && <Nothing sae={sae} query={query} />}
    </>
  );
}

function Nothing({ sae, query }: { readonly sae: Sae; readonly query: string }) {
  return (
    <p class="field-hint">
      {query === "" ? "Its features have not been indexed yet. Find one by example texts, or " : "Nothing matches. "}
      <a href={linkTo("features", [sae.name])}>{query === "" ? "index them" : `Open ${sae.name}`}</a>
    </p>
  );
}

/** Features of the middle layers are neither words nor next words yet: where most steering is done. */
function middleOf(saes: readonly Sae[]): Sae {
  return saes[Math.floor(saes.length / 2)]!;
}
