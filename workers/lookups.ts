/** What completions name, read through the catalog. */
import type { Lookups } from "../domain/generation/lookups.ts";
import { isProblem, type ProblemCode } from "../domain/problem.ts";
import type { Catalog } from "./jobs/handler.ts";

type Named = "model" | "variant" | "sae";

export function createLookups(catalog: Pick<Catalog, Named | "maxActivation">): Lookups {
  return {
    model: (idOrName) => orNull(catalog.model(idOrName), "MODEL_NOT_FOUND"),
    variant: (idOrName) => orNull(catalog.variant(idOrName), "VARIANT_NOT_FOUND"),
    sae: (idOrName) => orNull(catalog.sae(idOrName), "SAE_NOT_FOUND"),
    maxActivation: (saeId, index) => catalog.maxActivation(saeId, index),
  };
}

async function orNull<T>(found: Promise<T>, absent: ProblemCode): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (isProblem(error) && error.code === absent) return null;
    throw error;
  }
}

/** The same rows for the whole of a job: its lines name the same few things thousands of times. What is absent is looked for again. */
export function rememberingCatalog<C extends Pick<Catalog, Named>>(catalog: C): C {
  const remember = <T>(find: (id: string) => Promise<T>) => {
    const known = new Map<string, Promise<T>>();
    return (id: string): Promise<T> => {
      const found = known.get(id) ?? find(id);
      known.set(id, found);
      found.catch(() => known.delete(id));
      return found;
    };
  };
  return {
    ...catalog,
    model: remember(catalog.model),
    variant: remember(catalog.variant),
    sae: remember(catalog.sae),
  };
}
