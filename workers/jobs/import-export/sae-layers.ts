/** Where the layers of an import come from, one after the other: a folder that is all there, or the hub. */
import { basename, join, relative } from "node:path";
import { fieldProblem } from "../../../domain/problem.ts";
import { releaseOfRepo } from "../../../domain/released-suite.ts";
import type { PlannedImport } from "../../../domain/sae.ts";
import type { HubSource, StoredSource } from "../../../domain/source.ts";
import { layerOfFile } from "../../../engine/sae/layouts/qwen-scope.ts";
import type { HubFile } from "../../../platform/hub/hub.ts";
import { statisticsFile } from "../../feature-statistics.ts";
import { realDirectory } from "../../files.ts";
import { checkOut, type HubCheckout } from "../../hub-checkout.ts";
import type { ModelRow } from "../../records.ts";
import { choosePlace, findPlaces, type SaePlace } from "../../sae-places.ts";
import { folderOfSource } from "../../sources.ts";
import { type JobContext, stepOrStop } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";
import { type OpenImport, openImport, type SaeImport } from "./sae-opening.ts";

export interface LayerSource {
  /** What the rows keep of where they came from. */
  readonly source: unknown;
  open(planned: PlannedImport): Promise<OpenImport>;
  /** Features of the layer that are stored. */
  progress(features: number): void;
  /** After the layer has been stored and closed. */
  done(planned: PlannedImport): Promise<void>;
  close(): Promise<void>;
}

/** Every layer is found, opened and checked before the first is stored. */
export async function layersOfFolder(
  input: SaeImport,
  source: StoredSource,
  planned: readonly PlannedImport[],
  model: ModelRow,
  context: JobContext,
): Promise<LayerSource> {
  const { folder } = await folderOfSource(source, context);
  const enter = (path: string) =>
    source.type === "directory" ? realDirectory(path, context.settings.modelRoots) : Promise.resolve();
  const places = await findPlaces(folder, input.layout, enter);
  const imports: OpenImport[] = [];
  const close = async () => {
    for (const { reader } of imports) await reader.close();
  };
  try {
    for (const one of planned) {
      const place = await choosePlace(places, one.layer, input.layout);
      const other = imports.find((earlier) => earlier.place.path === place.path);
      if (other) {
        const detail = `the folder has one sae, the request says layers ${other.layer} and ${one.layer}`;
        throw fieldProblem("SETTINGS_CONTRADICTORY", "/layers", detail);
      }
      imports.push(await openImport(one, place, model, input));
      await stepOrStop(context);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const meter = createProgressMeter(
    imports.reduce((sum, { reader }) => sum + reader.width, 0),
    "features",
  );
  let before = 0;
  const find = ({ layer }: PlannedImport) => imports.find((one) => one.layer === layer)!;
  return {
    source,
    open: async (one) => find(one),
    progress: (features) => context.progress(meter.at(before + features)),
    done: async (one) => {
      before += find(one).reader.width;
    },
    close,
  };
}

/**
 * A layer is downloaded, stored in the service's own form, and dropped before the next: a release of a large model has more
 * bytes than many a disk. Names and sizes of all files are looked at before the first is downloaded.
 */
export async function layersOfHub(
  input: SaeImport,
  source: HubSource,
  planned: readonly PlannedImport[],
  model: ModelRow,
  context: JobContext,
): Promise<LayerSource> {
  const checkout = await checkOut(source, context);
  const choose =
    input.layout === "qwen_scope"
      ? async (layer: number) => released(checkout, source, input.k, layer, model)
      : await chooserByConfig(checkout, input.layout);
  const chosen = new Map<number, { place: SaePlace; files: HubFile[] }>();
  for (const { layer } of planned) chosen.set(layer, await choose(layer));
  const all = [...chosen.values()];
  const largest = all.toSorted((a, b) => sizeOf(b.files) - sizeOf(a.files)).slice(0, 1);
  await checkout.plan(
    all.flatMap(({ files }) => files),
    largest.flatMap(({ files }) => files),
  );
  let current: OpenImport | null = null;
  return {
    source: { ...source, commit: checkout.commit },
    async open(one) {
      const { place, files } = chosen.get(one.layer)!;
      await checkout.fetch(files);
      current = await openImport(one, place, model, input);
      return current;
    },
    // The bytes of the download are the longer part.
    progress: () => {},
    async done(one) {
      await current?.reader.close();
      current = null;
      await checkout.drop(chosen.get(one.layer)!.files);
    },
    close: async () => await current?.reader.close(),
  };
}

const sizeOf = (files: readonly HubFile[]) => files.reduce((sum, file) => sum + file.sizeBytes, 0);

/** What a file of these sizes has besides its numbers: names, shapes, padding. */
const ENVELOPE_BYTES = 2 ** 16;

/** The file of one layer in Qwen-Scope's layout. Its size must be that of the numbers its repository's name promises. */
function released(
  { folder, files }: HubCheckout,
  { repo }: HubSource,
  k: number | undefined,
  layer: number,
  model: ModelRow,
) {
  const named = files
    .map((file) => ({ file, layer: layerOfFile(basename(file.path)) }))
    .filter((one) => one.layer !== null);
  const fitting = named.filter((one) => one.layer === layer);
  const [one] = fitting;
  if (!one || fitting.length > 1) {
    const layers = named.map((each) => each.layer!).sort((a, b) => a - b);
    const has = layers.length === 0 ? "none at all" : `those of the layers ${[...new Set(layers)].join(", ")}`;
    const detail = one
      ? `${fitting.length} files of ${repo} are of layer ${layer}`
      : `${repo} has no layer${layer}.sae.pt; it has ${has}`;
    throw fieldProblem("FILE_NOT_FOUND", "/source/repo", detail);
  }
  const release = releaseOfRepo(repo);
  if (release && k !== undefined && release.k !== k) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", "/k", `the repository's name says k ${release.k}, the request ${k}`);
  }
  const numbers = release ? 2 * model.dModel * release.width + release.width + model.dModel : null;
  const { path, sizeBytes } = one.file;
  const fits = (bytes: number) => sizeBytes >= bytes && sizeBytes <= bytes + ENVELOPE_BYTES;
  if (numbers !== null && !fits(2 * numbers) && !fits(4 * numbers)) {
    const detail = `${path} has ${sizeBytes} bytes; width ${release!.width} of the name and d_model ${model.dModel} of ${model.name} make ${2 * numbers} (bfloat16) or ${4 * numbers} (float32)`;
    throw fieldProblem("DIMENSION_MISMATCH", "/source/repo", detail);
  }
  return { place: { path: join(folder, path), layer }, files: [one.file] };
}

const MOST_CONFIGS = 500;

/** Of layouts with a cfg.json all of those are fetched first: they are small, and say which folder is whose. */
async function chooserByConfig(checkout: HubCheckout, layout: "saelens" | "sparsify") {
  const configs = checkout.files.filter(({ path }) => basename(path) === "cfg.json");
  if (configs.length > MOST_CONFIGS) {
    const detail = `the repository has ${configs.length} folders with a cfg.json; an import looks at ${MOST_CONFIGS}`;
    throw fieldProblem("WEIGHTS_INVALID", "/source/repo", detail);
  }
  await checkout.fetch(configs);
  const places = await findPlaces(checkout.folder, layout, async () => {});
  const names = layout === "sparsify" ? ["sae.safetensors"] : ["sae_weights.safetensors", statisticsFile];
  return async (layer: number) => {
    const place = await choosePlace(places, layer, layout);
    const wanted = names.map((name) => relative(checkout.folder, join(place.path, name)));
    return { place, files: checkout.files.filter(({ path }) => wanted.includes(path)) };
  };
}
