// A search of features, page by page.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Feature, FeatureSort } from "../../domain/feature.ts";
import { type ProblemDetails, problemOf } from "../api/problem.ts";
import { listFeatures } from "./feature-api.ts";

interface Found {
  readonly features: readonly Feature[];
  readonly cursor: string | null;
  readonly problem: ProblemDetails | null;
  readonly loading: boolean;
}

const nothing: Found = { features: [], cursor: null, problem: null, loading: true };

export function useFound(sae: string, query: string, sort: FeatureSort) {
  const [found, setFound] = useState(nothing);
  const [turn, setTurn] = useState(0);
  const reading = useRef(new AbortController());

  /** A page that is still on its way belongs to another search, or was asked for twice. */
  async function read(cursor: string | null): Promise<void> {
    reading.current.abort();
    reading.current = new AbortController();
    const { signal } = reading.current;
    setFound((last) => ({ ...last, problem: null, loading: true, cursor }));
    try {
      const page = await listFeatures(sae, { query, sort, cursor }, signal);
      setFound((last) => ({
        features: cursor === null ? page.data : [...last.features, ...page.data],
        cursor: page.next_cursor,
        problem: null,
        loading: false,
      }));
    } catch (error) {
      if (!signal.aborted) setFound({ ...nothing, problem: problemOf(error), loading: false });
    }
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: `turn` reads it again; `read` closes over the rest.
  useEffect(() => {
    void read(null);
    return () => reading.current.abort();
  }, [sae, query, sort, turn]);

  return { found, more: () => read(found.cursor), reload: () => setTurn((count) => count + 1) };
}
