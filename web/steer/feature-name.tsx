// Which feature an edit names, in words, once its reference is complete.
import { useResource } from "../api/use-resource.ts";
import { getFeature } from "../features/feature-api.ts";
import { splitReference } from "../features/feature-reference.ts";
import { FeatureFlags, FeatureWords } from "../features/feature-words.tsx";
import { linkTo } from "../shell/router.ts";

export function FeatureName({ reference }: { readonly reference: string }) {
  const parts = splitReference(reference);
  const { value, problem } = useResource(parts && reference, (signal) => getFeature(parts!.sae, parts!.index, signal));
  if (parts === null) {
    const hint =
      reference.trim() === "" ? "Find one by its label, by texts, or type its name." : "Written {sae}:{index}.";
    return <p class="field-hint">{hint}</p>;
  }
  if (problem) return <p class="field-error">{problem.detail}</p>;
  if (value === null) return <p class="field-hint">…</p>;
  return (
    <p class="feature-line small">
      <FeatureWords feature={value} /> <FeatureFlags feature={value} />{" "}
      <a href={linkTo("features", [parts.sae, String(parts.index)])}>look at it</a>
    </p>
  );
}
