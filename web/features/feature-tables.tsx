import type { FeatureDetail } from "../../domain/feature.ts";
import type { Sae } from "../api/catalog.ts";
import { linkTo } from "../shell/router.ts";
import { visible } from "../tokens/shade.ts";

export function TokenTable({ title, tokens }: { readonly title: string; readonly tokens: FeatureDetail["promoted"] }) {
  return (
    <div>
      <h3>{title}</h3>
      <ol class="token-list">
        {tokens.slice(0, 10).map(({ id, text, logit }) => (
          <li key={id}>
            <code dir="auto" title={visible(text) === "▯" ? "part of a character" : undefined}>
              {visible(text)}
            </code>
            <span class="soft">{`${logit > 0 ? "+" : "−"}${Math.abs(logit).toFixed(2)}`}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

interface NeighboursProps {
  readonly sae: Sae;
  readonly neighbours: FeatureDetail["neighbours"];
}

export function Neighbours({ sae, neighbours }: NeighboursProps) {
  return (
    <section class="panel" aria-label="Nearest features">
      <h3>Nearest directions</h3>
      <ol class="token-list">
        {neighbours.map(({ index, cosine, label }) => (
          <li key={index}>
            <span>
              <a class="mono" href={linkTo("features", [sae.name, String(index)])}>
                {index}
              </a>{" "}
              {label ?? <span class="soft">no label</span>}
            </span>
            <span class="soft">{cosine.toFixed(2)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
