import { useState } from "preact/hooks";
import type { FeatureDetail } from "../../domain/feature.ts";
import type { Sae } from "../api/catalog.ts";
import { useResource } from "../api/use-resource.ts";
import { Histogram } from "../charts/histogram.tsx";
import { percent, shortNumber } from "../charts/ticks.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { linkTo } from "../shell/router.ts";
import { ExampleList } from "./example-list.tsx";
import { getFeature } from "./feature-api.ts";
import { Neighbours, TokenTable } from "./feature-tables.tsx";
import { FeatureFlags, FeatureWords } from "./feature-words.tsx";
import { LabelEditor } from "./label-editor.tsx";

export function FeatureDetailView({ sae, index }: { readonly sae: Sae; readonly index: number }) {
  const [edited, setEdited] = useState<FeatureDetail | null>(null);
  const { value, problem, reload } = useResource(`${sae.id}:${index}`, (signal) => getFeature(sae.id, index, signal));
  const feature = edited?.index === index && edited.sae_id === sae.id ? edited : value;
  const reference = `${sae.name}:${index}`;
  return (
    <article class="feature-page">
      <nav aria-label="Where this is" class="small">
        <a href={linkTo("features", [sae.name])}>{`All features of ${sae.name}`}</a>
      </nav>
      <header class="page-head">
        <div>
          <h1>{`Feature ${index}`}</h1>
          {feature && (
            <p>
              <FeatureWords feature={feature} /> <FeatureFlags feature={feature} />
            </p>
          )}
        </div>
        <div class="button-row">
          {index > 0 && (
            <a class="button quiet" href={linkTo("features", [sae.name, String(index - 1)])}>
              Previous
            </a>
          )}
          {index < sae.width - 1 && (
            <a class="button quiet" href={linkTo("features", [sae.name, String(index + 1)])}>
              Next
            </a>
          )}
          <a class="button primary" href={linkTo("steer", [], { feature: reference })}>
            Steer with this
          </a>
        </div>
      </header>
      {problem && <ProblemNotice problem={problem} retry={reload} />}
      {feature === null ? (
        problem === null && <p class="loading">Loading…</p>
      ) : (
        <Evidence sae={sae} feature={feature} labelled={setEdited} />
      )}
    </article>
  );
}

interface EvidenceProps {
  readonly sae: Sae;
  readonly feature: FeatureDetail;
  labelled(feature: FeatureDetail): void;
}

function Evidence({ sae, feature, labelled }: EvidenceProps) {
  const { histogram, examples, promoted, suppressed, neighbours } = feature;
  return (
    <div class="feature-columns">
      <div class="feature-main">
        <section class="panel" aria-label="Examples">
          <div class="panel-head">
            <h2>Where it is active</h2>
            <p>Passages of the indexed texts, from the strongest down. Deeper shade, stronger activation.</p>
          </div>
          {examples.length > 0 ? (
            <ExampleList examples={examples} largest={feature.max_activation ?? undefined} />
          ) : (
            <p class="soft">
              {feature.firing_count === null ? "Not indexed yet. " : "It was active on no token of the indexed texts. "}
              {feature.firing_count === null && <a href={linkTo("features", [sae.name])}>Index its sae</a>}
            </p>
          )}
        </section>
      </div>
      <div class="feature-side">
        <LabelEditor key={feature.index} feature={feature} saved={labelled} />
        <section class="panel" aria-label="Numbers">
          <Figures sae={sae} feature={feature} />
          {histogram && histogram.counts.length > 0 && (
            <Histogram title="Activation where it is active" bins={histogram} unit="tokens" />
          )}
        </section>
        {promoted.length > 0 && (
          <section class="panel token-tables" aria-label="Promoted and suppressed tokens">
            <TokenTable title="Makes likelier" tokens={promoted} />
            <TokenTable title="Makes rarer" tokens={suppressed} />
          </section>
        )}
        {neighbours.length > 0 && <Neighbours sae={sae} neighbours={neighbours} />}
      </div>
    </div>
  );
}

function Figures({ sae, feature }: Pick<EvidenceProps, "sae" | "feature">) {
  const number = (value: number | null) => (value === null ? "–" : shortNumber(Number(value.toPrecision(3))));
  const share = (value: number | null) => (value === null ? "–" : percent(value));
  return (
    <dl class="facts">
      <dt>Name</dt>
      <dd class="mono">{`${sae.name}:${feature.index}`}</dd>
      <dt>Fires on</dt>
      <dd>{`${share(feature.firing_rate)} of tokens${feature.tokens === null ? "" : ` of ${feature.tokens.toLocaleString("en")}`}`}</dd>
      <dt>Mean when active</dt>
      <dd>{number(feature.mean_when_active)}</dd>
      <dt>Largest</dt>
      <dd>{number(feature.max_activation)}</dd>
      <dt>At position 0</dt>
      <dd>{`${share(feature.first_position_rate)} of sequences`}</dd>
      <dt>Decoder norm</dt>
      <dd>{number(feature.decoder_norm)}</dd>
    </dl>
  );
}
