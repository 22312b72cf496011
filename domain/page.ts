// Lists: one envelope, newest first, opaque cursors.
import { type Static, type TSchema, Type } from "typebox";
import { Problem } from "./problem.ts";
import { nullable } from "./schema.ts";

export function Page<S extends TSchema>(item: S, title: string) {
  return Type.Object(
    {
      object: Type.Literal("list"),
      data: Type.Array(item),
      has_more: Type.Boolean(),
      next_cursor: nullable(Type.String({ description: "give it as `cursor` to get the next page" })),
    },
    { title },
  );
}

export interface PageOf<T> {
  object: "list";
  data: T[];
  has_more: boolean;
  next_cursor: string | null;
}

export const defaultPageLimit = 20;
export const maximumPageLimit = 100;

export const PageQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: maximumPageLimit, description: "20 if absent" })),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  },
  { additionalProperties: false },
);
export type PageQuery = Static<typeof PageQuery>;

/** Where a page ended: the creation time and id of its last row. Ids break ties, so no row is lost or repeated. */
export interface Position {
  readonly createdAt: Date;
  readonly id: string;
}

export function encodeCursor(position: Position): string {
  const text = `${position.createdAt.toISOString()} ${position.id}`;
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function decodeCursor(cursor: string): Position {
  let text: string;
  try {
    text = atob(cursor.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw cursorInvalid();
  }
  const [time = "", id = "", ...rest] = text.split(" ");
  const createdAt = new Date(time);
  if (rest.length > 0 || Number.isNaN(createdAt.getTime()) || !/^[a-z]+_[0-9a-z]{26}$/.test(id)) throw cursorInvalid();
  return { createdAt, id };
}

export function cursorInvalid(): Problem {
  return new Problem("CURSOR_INVALID", undefined, {
    errors: [{ pointer: "/cursor", detail: "must be the next_cursor of a page" }],
  });
}

/** Makes the envelope from `limit + 1` rows: the extra row only tells that there is more. */
export function toPage<Row, T>(
  rows: readonly Row[],
  limit: number,
  position: (row: Row) => Position,
  wire: (row: Row) => T,
): PageOf<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit;
  return {
    object: "list",
    data: shown.map(wire),
    has_more: hasMore,
    next_cursor: hasMore && last ? encodeCursor(position(last)) : null,
  };
}
