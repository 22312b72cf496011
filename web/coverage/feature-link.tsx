import { linkTo } from "../shell/router.ts";

/** A feature by its label, or its number; leads to its page. */
export function FeatureLink({ feature, label }: { readonly feature: string; readonly label: string | null }) {
  const [sae = "", index = ""] = feature.split(":");
  return <a href={linkTo("features", [sae, index])}>{label ?? `feature ${index}`}</a>;
}
