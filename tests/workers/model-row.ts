import { resolve } from "node:path";
import type { ModelRow } from "../../workers/records.ts";

/** The row of a small model among the fixtures, as the catalog gives it. */
export const rowOf = (id: string, folder: string): ModelRow => ({
  id,
  name: id,
  source: { type: "directory", path: resolve(`tests/fixtures/models/${folder}`), files: [] },
  quantized: null,
  digest: folder,
  sizeBytes: 1_000_000,
  layers: 3,
  dModel: 48,
  vocab: 320,
  context: 512,
  residualNorms: [],
});
