/** Where in a folder the saes of a layout lie: the folder itself is one, or its folders and files are, a layer each. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fieldProblem } from "../domain/problem.ts";
import type { CreateSae } from "../domain/sae.ts";
import { qwenScopeFile } from "../domain/sae-export.ts";
import { layerOfFile } from "../engine/sae/layouts/qwen-scope.ts";
import { readSaelensOrigin } from "../engine/sae/layouts/saelens.ts";

export interface SaePlace {
  /** A folder with cfg.json, or a file of the layout qwen_scope. */
  readonly path: string;
  /** What the name says, or null. */
  readonly layer: number | null;
}

const DEPTH = 3;
/** A folder tree beyond is no collection of saes. */
const MAX_FOLDERS = 2000;

/** Follows only folders that `enter` lets pass: it throws for one that leads out of where the client may read. */
export async function findPlaces(
  folder: string,
  layout: CreateSae["layout"],
  enter: (folder: string) => Promise<unknown>,
): Promise<SaePlace[]> {
  const found: SaePlace[] = [];
  let waiting = [folder];
  let seen = 0;
  for (let depth = 0; depth <= DEPTH && waiting.length > 0; depth++) {
    const below: string[] = [];
    for (const at of waiting) {
      if (++seen > MAX_FOLDERS) throw fieldProblem("WEIGHTS_INVALID", "/source", `more than ${MAX_FOLDERS} folders`);
      await enter(at);
      const names = (await readdir(at)).sort();
      if (layout === "qwen_scope") {
        const files = names.map((name) => ({ path: join(at, name), layer: layerOfFile(name) }));
        found.push(...files.filter(({ layer }) => layer !== null));
      } else if (names.includes("cfg.json")) {
        found.push({ path: at, layer: layerOfFolder(basename(at)) });
        continue;
      }
      for (const name of names) {
        const path = join(at, name);
        if (!name.startsWith(".") && (await stat(path)).isDirectory()) below.push(path);
      }
    }
    waiting = below;
  }
  return found;
}

/**
 * The place of one layer's sae. One alone is the one that is meant, whatever it is called: its files then say whether they agree.
 *
 * @throws Problem when none or several are of the layer
 */
export async function choosePlace(
  places: readonly SaePlace[],
  layer: number,
  layout: CreateSae["layout"],
): Promise<SaePlace> {
  if (places.length === 0) {
    const missing = layout === "qwen_scope" ? `${qwenScopeFile(layer)} is missing` : "cfg.json is missing";
    throw fieldProblem("FILE_NOT_FOUND", "/source", missing);
  }
  if (places.length === 1) return places[0]!;
  const named = layout === "saelens" ? await Promise.all(places.map(bySaelensConfig)) : places;
  const fitting = named.filter((place) => place.layer === layer);
  if (fitting.length === 1) return fitting[0]!;
  const layers = [...new Set(named.map((place) => place.layer).filter((one) => one !== null))].sort((a, b) => a - b);
  const has = `the folder has ${places.length} saes, of the layers ${layers.join(", ") || "that no name tells"}`;
  if (fitting.length === 0) throw fieldProblem("FILE_NOT_FOUND", "/layer", `there is no sae of layer ${layer}: ${has}`);
  const detail = `${fitting.length} saes are of layer ${layer}; name the folder of one of them`;
  throw fieldProblem("SETTINGS_CONTRADICTORY", "/source", detail);
}

async function bySaelensConfig({ path, layer }: SaePlace): Promise<SaePlace> {
  const origin = await readSaelensOrigin(path).catch(() => null);
  return { path, layer: origin?.layer ?? layer };
}

/** Names that trainers give to the residual stream after a layer. A part of a layer (layers.3.mlp) is another place. */
function layerOfFolder(name: string): number | null {
  const match = /^(?:[\w.]*\.)?(?:layers?|h|blocks)[._]?(\d{1,4})(?:\.hook_resid_post)?$/.exec(name);
  return match ? Number(match[1]) : null;
}
