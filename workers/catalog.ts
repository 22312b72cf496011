/** The rows a handler may read, asked of the supervisor: the device holds no database connection. */
import type { Calls } from "./calls.ts";
import type { Catalog } from "./jobs/handler.ts";

export function createCatalog(calls: Calls, workspaceId: string): Catalog {
  return {
    model: (id) => calls.call("catalog.model", { workspaceId, id }),
    sae: (id) => calls.call("catalog.sae", { workspaceId, id }),
    variant: (id) => calls.call("catalog.variant", { workspaceId, id }),
    maxActivation: (saeId, feature) => calls.call("catalog.max_activation", { workspaceId, id: saeId, feature }),
    labels: (saeId, features) => calls.call("catalog.labels", { workspaceId, id: saeId, features }),
    registers: (saeId) => calls.call("catalog.registers", { workspaceId, id: saeId }),
    featureEvidence: (saeId, features) => calls.call("catalog.feature_evidence", { workspaceId, id: saeId, features }),
    dataset: (id) => calls.call("catalog.dataset", { workspaceId, id }),
    artifact: (id) => calls.call("catalog.artifact", { workspaceId, id }),
    children: (jobId) => calls.call("catalog.children", { workspaceId, id: jobId }),
    taken: (kind, names) => calls.call("catalog.taken", { workspaceId, kind, names }),
  };
}
