// Where a page of features ended: what it was sorted by, and the last row's value and index.
import { type FeatureSort, featureSorts } from "./feature.ts";
import { cursorInvalid } from "./page.ts";

export interface FeaturePlace {
  readonly sort: FeatureSort;
  readonly descending: boolean;
  readonly value: number | null;
  readonly index: number;
}

export function encodeFeatureCursor({ sort, descending, value, index }: FeaturePlace): string {
  const text = JSON.stringify([sort, descending, value, index]);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Throws CURSOR_INVALID, also for a cursor of a list in another order. */
export function decodeFeatureCursor(cursor: string, sort: FeatureSort, descending: boolean): FeaturePlace {
  const parts = parsed(cursor);
  if (!Array.isArray(parts) || parts.length !== 4) throw cursorInvalid();
  const [givenSort, givenDescending, value, index] = parts as unknown[];
  const isValue = value === null || Number.isFinite(value);
  if (!featureSorts.includes(givenSort as FeatureSort) || !isValue || !Number.isInteger(index)) throw cursorInvalid();
  if (givenSort !== sort || givenDescending !== descending) throw cursorInvalid();
  return { sort, descending, value: value as number | null, index: index as number };
}

function parsed(cursor: string): unknown {
  try {
    return JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return null;
  }
}
