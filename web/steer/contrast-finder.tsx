// Features that are active in some texts and not in others: the shortlist for what has no label yet.
import { useState } from "preact/hooks";
import type { FeaturesContrastResult } from "../../domain/contrast.ts";
import type { Sae } from "../api/catalog.ts";
import { useJob } from "../api/use-job.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { ProgressBar } from "../elements/progress-bar.tsx";
import { linesOf } from "./sweep-form.ts";

interface ContrastFinderProps {
  readonly saes: readonly Sae[];
  choose(reference: string): void;
}

export function ContrastFinder({ saes, choose }: ContrastFinderProps) {
  const [layer, setLayer] = useState("all");
  const [positive, setPositive] = useState("");
  const [negative, setNegative] = useState("");
  const contrast = useJob();
  const texts = { positive: linesOf(positive), negative: linesOf(negative) };
  const result = contrast.job?.state === "succeeded" ? (contrast.job.result as FeaturesContrastResult) : null;
  const ready = texts.positive.length > 0 && texts.negative.length > 0 && !contrast.busy;
  const search = () =>
    contrast.start("features.contrast", {
      sae_ids: saes.filter(({ id }) => layer === "all" || id === layer).map(({ id }) => id),
      positive: { texts: texts.positive },
      negative: { texts: texts.negative },
      top: 10,
      shuffles: 0,
      draws: 0,
    });
  const problem = contrast.problem ?? contrast.job?.error ?? null;
  return (
    <>
      <div class="steer-row">
        <TextsField id="contrast-positive" label="Texts that show it, one a line" value={positive} put={setPositive} />
        <TextsField id="contrast-negative" label="Texts that do not" value={negative} put={setNegative} />
      </div>
      <div class="steer-row">
        <div class="field">
          <label for="contrast-sae">Look in</label>
          <select id="contrast-sae" value={layer} onChange={(event) => setLayer(event.currentTarget.value)}>
            <option value="all">all layers</option>
            {saes.map(({ id, name, layer: n }) => (
              <option key={id} value={id}>{`layer ${n} · ${name}`}</option>
            ))}
          </select>
        </div>
        <button type="button" class="button finder-go" disabled={!ready} onClick={search}>
          Compare
        </button>
      </div>
      {contrast.busy && <ProgressBar label="Comparing texts" progress={contrast.job?.progress ?? null} />}
      {problem && <ProblemNotice problem={problem} />}
      {result && <ContrastResults result={result} saes={saes} choose={choose} />}
    </>
  );
}

function TextsField({ id, label, value, put }: { id: string; label: string; value: string; put(text: string): void }) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea id={id} rows={3} dir="auto" value={value} onInput={(event) => put(event.currentTarget.value)} />
    </div>
  );
}

function ContrastResults({ result, saes, choose }: ContrastFinderProps & { readonly result: FeaturesContrastResult }) {
  if (result.features.length === 0) return <p class="field-hint">No feature tells these texts apart.</p>;
  return (
    <ul class="finder-results">
      {result.features.map(({ feature, layer, value }) => {
        const [id, index] = feature.split(":");
        const name = saes.find((sae) => sae.id === id)?.name ?? id;
        return (
          <li key={feature}>
            <button type="button" onClick={() => choose(`${name}:${index}`)}>
              <span class="mono">{index}</span>
              <span>{`layer ${layer}, stronger by ${value.toPrecision(2)} per token`}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
