// Whether the answer depends on the layer or on how many features count: the same figures from every variant, and how alike they rank.

import { createRandom } from "../runtime/random.ts";
import { associate, associateMatrices } from "./association.ts";
import { featureRedundancy } from "./coverage.ts";
import { overlapMatrices } from "./overlap.ts";

/** One sae, or one sae with only its strongest features counted. */
export interface CountedVariant {
  /** m_j per benchmark. */
  readonly counts: readonly Uint32Array[];
}

export interface VariantFigures {
  readonly features_D: Uint32Array;
  readonly redundancy_D: readonly (number | null)[];
  readonly overlapMin_DD: Float64Array;
}

export interface StabilityFigures {
  readonly variants: readonly VariantFigures[];
  /** Spearman between variants, row-major V × V; null where undefined. */
  readonly redundancySpearman: readonly (readonly (number | null)[])[];
  readonly overlapMinSpearman: readonly (readonly (number | null)[])[];
}

export function stabilityOf(variants: readonly CountedVariant[], samples: readonly number[]): StabilityFigures {
  const figures = variants.map(({ counts }) => {
    const { features_D, overlapMin_DD } = overlapMatrices(counts);
    return { features_D, overlapMin_DD, redundancy_D: counts.map((own, i) => featureRedundancy(own, samples[i]!)) };
  });
  // Only the values are wanted here: no permutations.
  const options = { permutations: 0, random: createRandom(0), method: "spearman" } as const;
  const between = (value: (a: VariantFigures, b: VariantFigures) => number | null) =>
    figures.map((a) => figures.map((b) => value(a, b)));
  return {
    variants: figures,
    redundancySpearman: between((a, b) => associate(a.redundancy_D, b.redundancy_D, options).value),
    overlapMinSpearman: between(
      (a, b) => associateMatrices(a.overlapMin_DD, b.overlapMin_DD, samples.length, options).value,
    ),
  };
}
