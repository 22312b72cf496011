// The database side of a page: newest first, from a cursor, one row more than shown.
import { decodeCursor, defaultPageLimit, type PageQuery } from "../domain/page.ts";

export function pageOf(query: PageQuery) {
  const limit = query.limit ?? defaultPageLimit;
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor);
  const beyond =
    after === null
      ? {}
      : { OR: [{ created_at: { lt: after.createdAt } }, { created_at: after.createdAt, id: { lt: after.id } }] };
  return {
    limit,
    beyond,
    order: {
      orderBy: [{ created_at: "desc" as const }, { id: "desc" as const }],
      take: limit + 1,
    },
  };
}

export function positionOf(row: { readonly created_at: Date; readonly id: string }) {
  return { createdAt: row.created_at, id: row.id };
}
