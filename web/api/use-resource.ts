// Something that a component reads from the API: not there yet, there, or refused.
import { useCallback, useEffect, useState } from "preact/hooks";
import { type ProblemDetails, problemOf } from "./problem.ts";

export interface Resource<T> {
  readonly value: T | null;
  readonly problem: ProblemDetails | null;
  readonly loading: boolean;
  /** Reads it again; what is shown stays until the answer is there. */
  readonly reload: () => void;
}

/** Reads when the component appears and whenever `key` changes; `null` as key reads nothing. */
export function useResource<T>(key: string | null, read: (signal: AbortSignal) => Promise<T>): Resource<T> {
  const [state, setState] = useState<{ key: string | null; value: T | null; problem: ProblemDetails | null }>({
    key: null,
    value: null,
    problem: null,
  });
  const [loading, setLoading] = useState(key !== null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (key === null) return setLoading(false);
    const controller = new AbortController();
    setLoading(true);
    read(controller.signal).then(
      (value) => finish({ key, value, problem: null }),
      (error) => finish({ key, value: null, problem: problemOf(error) }),
    );
    return () => controller.abort();

    function finish(next: { key: string | null; value: T | null; problem: ProblemDetails | null }) {
      if (controller.signal.aborted) return;
      setState(next);
      setLoading(false);
    }
  }, [key, turn]);
  const reload = useCallback(() => setTurn((count) => count + 1), []);
  const current = state.key === key;
  return { value: current ? state.value : null, problem: current ? state.problem : null, loading, reload };
}
