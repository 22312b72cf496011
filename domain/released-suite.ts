// The sparse autoencoders that Qwen-Scope releases: 14 repositories over 7 backbones, one sae per decoder layer (the report's
// table 1). The files carry none of this, so it is checked here before anything is downloaded.
import { type Static, Type } from "typebox";
import { parseReleaseName, type QwenScopeRelease, releaseName } from "./qwen-scope-name.ts";
import { oneOf } from "./schema.ts";

interface Backbone {
  readonly name: string;
  readonly kind: "dense" | "mixture_of_experts";
  readonly tuning: "base" | "instruct";
  readonly layers: number;
  readonly dModel: number;
  /** Width in units of 1024 and k; they change together on mixtures of experts. */
  readonly releases: readonly (readonly [widthK: number, k: number])[];
}

const dense = (widthK: number) => [[widthK, 50] as const, [widthK, 100] as const];
const experts = [[32, 50] as const, [128, 100] as const];

const backbones: readonly Backbone[] = [
  { name: "Qwen3-1.7B-Base", kind: "dense", tuning: "base", layers: 28, dModel: 2048, releases: dense(32) },
  { name: "Qwen3-8B-Base", kind: "dense", tuning: "base", layers: 36, dModel: 4096, releases: dense(64) },
  { name: "Qwen3.5-2B-Base", kind: "dense", tuning: "base", layers: 24, dModel: 2048, releases: dense(32) },
  { name: "Qwen3.5-9B-Base", kind: "dense", tuning: "base", layers: 32, dModel: 4096, releases: dense(64) },
  { name: "Qwen3.5-27B", kind: "dense", tuning: "instruct", layers: 64, dModel: 5120, releases: dense(80) },
  {
    ...{ name: "Qwen3-30B-A3B-Base", kind: "mixture_of_experts", tuning: "base" },
    ...{ layers: 48, dModel: 2048, releases: experts },
  },
  {
    ...{ name: "Qwen3.5-35B-A3B-Base", kind: "mixture_of_experts", tuning: "base" },
    ...{ layers: 40, dModel: 2048, releases: experts },
  },
];

export const ReleasedSaes = Type.Object(
  {
    repo: Type.String({ description: "what a source of type hub names" }),
    backbone: Type.String({ description: "the model on the hub whose residual stream they read" }),
    kind: oneOf(["dense", "mixture_of_experts"]),
    tuning: oneOf(["base", "instruct"], { description: "of the backbone they were trained on" }),
    layers: Type.Integer({ description: "one sae for each, counted from 0" }),
    d_model: Type.Integer(),
    width: Type.Integer({ description: "features of each" }),
    k: Type.Integer({ description: "features kept per token" }),
    bytes_per_layer: Type.Integer({ description: "of the numbers in float32, as they are downloaded" }),
    layout: Type.Literal("qwen_scope"),
  },
  {
    title: "ReleasedSaes",
    examples: [
      {
        repo: "Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_50",
        backbone: "Qwen/Qwen3-8B-Base",
        kind: "dense",
        tuning: "base",
        layers: 36,
        d_model: 4096,
        width: 65_536,
        k: 50,
        bytes_per_layer: 2_147_762_176,
        layout: "qwen_scope",
      },
    ],
  },
);
export type ReleasedSaes = Static<typeof ReleasedSaes>;

export const releasedSuite: readonly ReleasedSaes[] = backbones.flatMap(
  ({ name, kind, tuning, layers, dModel, releases }) =>
    releases.map(([widthK, k]) => {
      const width = widthK * 1024;
      return {
        repo: `Qwen/${releaseName({ backbone: name, width, k })}`,
        backbone: `Qwen/${name}`,
        ...{ kind, tuning, layers, d_model: dModel, width, k },
        bytes_per_layer: 4 * (2 * dModel * width + width + dModel),
        layout: "qwen_scope" as const,
      };
    }),
);

/** The release of a repository's name. Of a name in the suite's pattern that is not one of the suite only what the name says is known. */
export interface NamedRelease extends QwenScopeRelease {
  readonly released: ReleasedSaes | null;
}

/** Null for a repository with another kind of name; copies under other owners' names are what they say they are. */
export function releaseOfRepo(repo: string): NamedRelease | null {
  const named = parseReleaseName(repo);
  if (!named) return null;
  const same = `Qwen/${releaseName(named)}`;
  return { ...named, released: releasedSuite.find((one) => one.repo === same) ?? null };
}

/** The releases of the same backbone, for a name that has the backbone and nothing else right; empty: none is near. */
export function releasesOfBackbone(backbone: string): readonly ReleasedSaes[] {
  return releasedSuite.filter((one) => one.backbone === `Qwen/${backbone}`);
}
