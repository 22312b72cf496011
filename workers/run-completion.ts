/**
 * One completion with everything that it names held open until its last event: how a request is served, and a line of a
 * batch. That both pass here is why the same body says the same on either way.
 */
import type { CompletionInput, RequestEvent } from "../domain/request.ts";
import { complete } from "./completion.ts";
import { forwardsInTurn, type Generators } from "./generators.ts";
import type { Catalog, JobContext } from "./jobs/handler.ts";
import { useModel, useSae, type WorkerSae } from "./open-models.ts";
import type { SaeRow } from "./records.ts";
import type { Lease } from "./residency.ts";
import { saeIdsOf } from "./steering.ts";

export interface CompletionRun {
  readonly input: CompletionInput;
  readonly workspaceId: string;
  readonly catalog: Pick<Catalog, "model" | "sae">;
  readonly opener: Pick<JobContext, "residency" | "blobs" | "settings">;
  readonly generators: Generators;
  readonly signal: AbortSignal;
  readonly emit: (event: RequestEvent) => void;
}

/** @throws Problem when it is refused or fails; an aborted signal just ends it */
export async function runCompletion(run: CompletionRun): Promise<void> {
  const { input, workspaceId, catalog, opener, generators, signal, emit } = run;
  const leases: Lease<unknown>[] = [];
  const held = <T>(lease: Lease<T>): T => {
    leases.push(lease);
    return lease.value;
  };
  try {
    const row = await catalog.model(input.model_id);
    const model = held(await useModel(opener, row));
    const saes = new Map<string, { row: SaeRow; sae: WorkerSae }>();
    for (const id of saeIdsOf(input.steering?.edits ?? [])) {
      const saeRow = await catalog.sae(id);
      saes.set(id, { row: saeRow, sae: held(await useSae(opener, saeRow)) });
    }
    const generator = generators.of(input.model_id, model);
    const inTurn = forwardsInTurn(model.language, generator);
    await complete({ input, workspaceId, row, model, inTurn, generator, saes, signal, emit });
  } finally {
    for (const lease of leases) lease.release();
  }
}
