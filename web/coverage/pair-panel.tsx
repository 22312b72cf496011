import { formatCount, formatShare } from "../elements/format.ts";
import type { Analysis } from "./analysis-data.ts";
import { FeatureMentions } from "./feature-mentions.tsx";
import { UniqueFeatures } from "./unique-features.tsx";

/** The two benchmarks of the chosen cell: what they share, and what only one of them has. */
export function PairPanel({
  analysis,
  pair,
}: {
  readonly analysis: Analysis;
  readonly pair: readonly [number, number];
}) {
  const [i, j] = pair;
  const [a, b] = [analysis.benchmarks[i], analysis.benchmarks[j]];
  if (a === undefined || b === undefined) return null;
  if (i === j) {
    return (
      <section class="panel pair" aria-labelledby="pair-title">
        <div class="panel-head">
          <h2 id="pair-title">{a.name}</h2>
          <p>
            {formatCount(a.features)} features, {formatShare(a.uniqueness)} of them in no other benchmark here
          </p>
        </div>
        <UniqueFeatures benchmark={a} open />
      </section>
    );
  }
  const shared = analysis.shared.find(({ pair: [x, y] }) => (x === i && y === j) || (x === j && y === i));
  const turned = shared?.pair[0] === j;
  const rows = [
    { words: `of ${a.name} is in ${b.name}`, value: analysis.overlap[i]?.[j] },
    { words: `of ${b.name} is in ${a.name}`, value: analysis.overlap[j]?.[i] },
  ];
  const { random, tokens } = analysis.baselines;
  const anyway = [
    { words: "of the smaller one's features are shared", value: analysis.overlap_min[i]?.[j] },
    { words: "if features fired as often, but at random", value: random.overlap_min[i]?.[j] },
    { words: "of the smaller one's distinct tokens are shared", value: tokens.overlap_min[i]?.[j] },
  ];
  return (
    <section class="panel pair" aria-labelledby="pair-title">
      <div class="panel-head">
        <h2 id="pair-title">
          {a.name} <span class="soft">and</span> {b.name}
        </h2>
        <p>
          {formatCount(a.features)} and {formatCount(b.features)} features,{" "}
          {formatCount(analysis.shared_features[i]?.[j] ?? 0)} in both
        </p>
      </div>
      <Shares rows={rows} />
      <h3>Against what is expected anyway</h3>
      <Shares rows={anyway} />
      <h3>Shared features</h3>
      <FeatureMentions mentions={shared?.features ?? []} turned={turned} names={[a.name, b.name]} />
      <UniqueFeatures benchmark={a} />
      <UniqueFeatures benchmark={b} />
    </section>
  );
}

interface Share {
  readonly words: string;
  readonly value: number | null | undefined;
}

function Shares({ rows }: { readonly rows: readonly Share[] }) {
  return (
    <dl class="shares">
      {rows.map(({ words, value }) => (
        <div key={words}>
          <dt>{formatShare(value, 0)}</dt>
          <dd>{words}</dd>
        </div>
      ))}
    </dl>
  );
}
