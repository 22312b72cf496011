/** Rows of the database as the device sees them: what it needs of each, in its own words. */

import type { Edit } from "../domain/steering.ts";

export type NamedKind = "model" | "sae";

/** Name of the file of quantised weights where it is laid out. */
export const quantizedFile = "quantized.safetensors";

export interface ModelRow {
  readonly id: string;
  readonly name: string;
  /** Either a folder on this machine or the files that make one up. */
  readonly source: FilesAt;
  /** Weights that take the place of some of the source's; null: it runs in float32. */
  readonly quantized: BlobFile | null;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly layers: number;
  readonly dModel: number;
  readonly vocab: number;
  readonly context: number;
  /** m_n of the API document, by layer; null where the calibration text left too few rows. */
  readonly residualNorms: readonly (number | null)[];
}

export interface SaeRow {
  readonly id: string;
  readonly name: string;
  readonly modelId: string;
  readonly layer: number;
  readonly architecture: string;
  readonly width: number;
  readonly dModel: number;
  readonly k: number | null;
  readonly digest: string;
  readonly sizeBytes: number;
  /** A SAELens folder. */
  readonly files: readonly BlobFile[];
}

export interface VariantRow {
  readonly id: string;
  readonly name: string;
  readonly modelId: string;
  readonly edits: readonly Edit[];
}

export type FilesAt =
  | { readonly type: "directory"; readonly path: string; readonly files: readonly BlobFile[] }
  | { readonly type: "blobs"; readonly files: readonly BlobFile[] };

export interface BlobFile {
  /** Relative path inside the folder. */
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface DatasetRow {
  readonly id: string;
  readonly name: string;
  readonly samples: number;
  /** JSON Lines, one sample a line, columns already mapped. */
  readonly digest: string;
}

export interface ArtifactRow {
  readonly id: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly contentType: string;
}

export interface FeatureLabel {
  readonly feature: number;
  readonly label: string;
}

/** What an sae's index has of some features, and the labels that they have. */
export interface FeatureEvidence {
  /** Of the details: JSON lines; null where the sae is not indexed. */
  readonly digest: string | null;
  readonly features: readonly {
    readonly index: number;
    /** Of its line in the details, in bytes. */
    readonly offset: number | null;
    readonly length: number | null;
    readonly label: string | null;
    readonly source: string | null;
  }[];
}

/** A job that another one waited for. */
export interface ChildRow {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly input: unknown;
  readonly result: unknown;
}
