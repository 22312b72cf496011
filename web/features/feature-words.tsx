// What a feature is, in one line: its label, or the tokens it promotes.
import type { Feature } from "../../domain/feature.ts";
import { visible } from "../tokens/shade.ts";

export function FeatureWords({ feature }: { readonly feature: Pick<Feature, "label" | "top_tokens"> }) {
  const { label, top_tokens: tokens } = feature;
  if (label !== null) return <span class="feature-label">{label.text}</span>;
  if (tokens.length === 0) return <span class="soft">no label yet</span>;
  return (
    <span class="feature-tokens">
      <span class="soft">promotes</span>{" "}
      {tokens.slice(0, 5).map((token) => (
        <code key={token}>{visible(token)}</code>
      ))}
    </span>
  );
}

export function FeatureFlags({ feature }: { readonly feature: Pick<Feature, "dense" | "register" | "firing_count"> }) {
  const flags = [
    feature.register === true ? (["register", "flat and always on: it says little about the text"] as const) : null,
    feature.dense === true ? (["dense", "active on more than half of the tokens"] as const) : null,
    feature.firing_count === 0 ? (["silent", "active on no token of the indexed text"] as const) : null,
  ].filter((flag) => flag !== null);
  return (
    <>
      {flags.map(([name, meaning]) => (
        <span key={name} class="badge" title={meaning}>
          {name}
        </span>
      ))}
    </>
  );
}
