// Sliding windows: how config.json says how far each attention layer looks back.

import { flag, type Json, ModelConfigError, size } from "./config-json.ts";

/** How a family's config names its windows. */
export interface WindowFamily {
  /** Whether `sliding_window` counts only beside `use_sliding_window: true`. */
  readonly flagged: boolean;
  /** The layers with a window where `layer_types` does not say: all, or those from `max_window_layers` on. */
  readonly layers: "all" | "from_max_window_layers";
  /** `sliding_window` where the file leaves it out. */
  readonly defaultSize: number;
}

/**
 * Positions that each layer's attention sees, its own included; null: all. A window as long as the context is none.
 *
 * @throws ModelConfigError when the config asks for windows that the family does not have, or contradicts itself
 */
export function layerWindows(
  json: Json,
  family: WindowFamily | null,
  layerTypes: readonly unknown[] | null,
  layers: number,
  contextLength: number,
): (number | null)[] {
  const none = Array.from({ length: layers }, () => null);
  const named = layerTypes?.includes("sliding_attention") ?? false;
  if (family === null) {
    if (json.use_sliding_window === true || typeof json.sliding_window === "number") {
      throw new ModelConfigError(`sliding_window: sliding windows are not supported in model_type ${json.model_type}`);
    }
    return none;
  }
  const used = family.flagged ? flag(json, "use_sliding_window", false) : json.sliding_window !== null;
  if (!used) {
    if (named) throw new ModelConfigError("layer_types names sliding_attention, but no sliding window is in use");
    return none;
  }
  const window = size(json, "sliding_window", family.defaultSize);
  if (window >= contextLength) return none;
  if (family.layers === "all") return none.map(() => window);
  if (layerTypes) return layerTypes.map((type) => (type === "sliding_attention" ? window : null));
  const first = json.max_window_layers ?? 28;
  if (!Number.isSafeInteger(first) || (first as number) < 0) {
    throw new ModelConfigError(`max_window_layers must be a number of layers, got ${JSON.stringify(first)}`);
  }
  return none.map((_, layer) => (layer >= (first as number) ? window : null));
}
