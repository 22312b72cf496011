import { useSaes } from "../api/catalog.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import type { PageProps } from "../shell/page.ts";
import { goTo, linkTo } from "../shell/router.ts";
import { FeatureDetailView } from "./feature-detail.tsx";
import { FeatureList } from "./feature-list.tsx";
import "./features.css";

/** `#/features`, `#/features/{sae}?query=&sort=`, `#/features/{sae}/{index}` */
export function FeaturesPage({ rest, query }: PageProps) {
  const saes = useSaes();
  const [saeName, index] = rest;
  if (saes.problem) return <ProblemNotice problem={saes.problem} retry={saes.reload} />;
  if (saes.value === null) return <p class="loading">Loading…</p>;
  if (saes.value.length === 0) return <NoSaes />;
  const sae = saes.value.find(({ id, name }) => id === saeName || name === saeName) ?? null;
  if (sae !== null && index !== undefined) return <FeatureDetailView sae={sae} index={Number(index)} />;
  const shown = sae ?? (saeName === undefined ? saes.value[Math.floor(saes.value.length / 2)] : null);
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Features</h1>
          <p>What an sae has found in its layer: when each feature is active, and which words it makes likelier.</p>
        </div>
        <div class="field sae-choice">
          <label for="features-sae">Sae</label>
          <select
            id="features-sae"
            value={shown?.name ?? ""}
            onChange={(event) => goTo(linkTo("features", [event.currentTarget.value]))}
          >
            {shown === null && <option value="">{`${saeName} is not here`}</option>}
            {saes.value.map(({ id, name, layer, width }) => (
              <option key={id} value={name}>{`layer ${layer} · ${name} · ${width.toLocaleString("en")}`}</option>
            ))}
          </select>
        </div>
      </header>
      {shown ? (
        <FeatureList key={shown.id} sae={shown} query={query} />
      ) : (
        <p class="note">{`There is no sae “${saeName}”. Choose one of those above.`}</p>
      )}
    </>
  );
}

function NoSaes() {
  return (
    <section class="empty">
      <h1>No saes yet</h1>
      <p>
        <a href={linkTo("train")}>Train one</a>, or import one with <code>POST /v1/saes</code>.
      </p>
    </section>
  );
}
