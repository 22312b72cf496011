// Where the chosen features are active in the texts that came back, token by token.
import { useState } from "preact/hooks";
import type { Sae } from "../api/catalog.ts";
import { answered, client } from "../api/client.ts";
import { useResource } from "../api/use-resource.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { splitReference } from "../features/feature-reference.ts";
import { ColouredText } from "../tokens/coloured-text.tsx";
import { chosenFeatures, largestOf, textsToRead, valuesOf } from "./activations.ts";
import type { Experiment } from "./use-experiment.ts";

interface ActivationsPanelProps {
  readonly experiment: Experiment;
  readonly saes: readonly Sae[];
}

export function ActivationsPanel({ experiment, saes }: ActivationsPanelProps) {
  const { form, arms, running } = experiment;
  const [picked, setPicked] = useState("");
  const features = form === null ? [] : chosenFeatures(form);
  const reference = features.includes(picked) ? picked : features[0];
  const parts = reference === undefined ? null : splitReference(reference);
  const texts = form === null || running ? [] : textsToRead(form, arms);
  const key = parts && texts.length > 0 ? JSON.stringify([parts.sae, texts]) : null;
  const read = useResource(key, (signal) => {
    const body = { texts: texts.map(({ text }) => text) };
    return answered(client.POST("/v1/saes/{id}/encode", { params: { path: { id: parts?.sae ?? "" } }, body, signal }));
  });
  if (parts === null || texts.length === 0) return null;
  const valued = read.value?.results.map((encoded) => valuesOf(encoded, parts.index)) ?? [];
  const largest = largestOf(valued);
  const layer = saes.find(({ id, name }) => id === parts.sae || name === parts.sae)?.layer;
  return (
    <section class="panel" aria-label="Activations">
      <div class="panel-head">
        <h2>Where the feature is active</h2>
        {features.length > 1 && (
          <select
            aria-label="Feature to show"
            value={reference}
            onChange={(event) => setPicked(event.currentTarget.value)}
          >
            {features.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        )}
        <p>
          {`${reference}${layer === undefined ? "" : `, layer ${layer}`}, as the unsteered model reads these texts. The deepest shade is ${largest > 0 ? largest.toPrecision(3) : "nothing: it is active nowhere here"}.`}
        </p>
      </div>
      {read.loading && <p class="loading">Reading the texts…</p>}
      {read.problem && <ProblemNotice problem={read.problem} retry={read.reload} />}
      <div class="activation-texts">
        {valued.map((tokens, i) => (
          <div key={texts[i]?.title}>
            <h3>{texts[i]?.title}</h3>
            <ColouredText tokens={tokens} largest={largest} label={`Activation in ${texts[i]?.title}`} />
          </div>
        ))}
      </div>
    </section>
  );
}
