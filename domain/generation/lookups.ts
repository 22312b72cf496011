// What a completion must know of the things that it names. Who asks decides where the answers come from: the API from
// the database, a batch worker from its supervisor.
import type { Edit } from "../steering.ts";

export interface KnownModel {
  readonly id: string;
  readonly name: string;
  readonly layers: number;
  readonly dModel: number;
  /** m_n, the median residual norm of each layer; null where it was not measured */
  readonly residualNorms: readonly (number | null)[];
}

export interface KnownVariant {
  readonly id: string;
  readonly name: string;
  readonly modelId: string;
  readonly edits: readonly Edit[];
}

export interface KnownSae {
  readonly id: string;
  readonly name: string;
  readonly modelId: string;
  readonly layer: number;
  readonly width: number;
}

/** By id or name, in one workspace; null: there is none. */
export interface Lookups {
  model(idOrName: string): Promise<KnownModel | null>;
  variant(idOrName: string): Promise<KnownVariant | null>;
  sae(idOrName: string): Promise<KnownSae | null>;
  /** a_f of the feature index; null: not indexed, or never seen active. */
  maxActivation(saeId: string, index: number): Promise<number | null>;
}
