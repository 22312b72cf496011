import { expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import { decodeCursor, encodeCursor, toPage } from "../../domain/page.ts";

const row = (n: number) => ({ id: newId("job", n), created_at: new Date(n) });
const position = (one: ReturnType<typeof row>) => ({ createdAt: one.created_at, id: one.id });

test("a cursor gives back the position it was made from", () => {
  const at = position(row(1_700_000_000_123));
  expect(decodeCursor(encodeCursor(at))).toEqual(at);
});

test("a cursor that is not ours is refused", () => {
  for (const cursor of ["", "x", "%%%", btoa("yesterday job_1"), btoa("2026-01-01T00:00:00Z '; DROP")]) {
    expect(() => decodeCursor(cursor), cursor).toThrow(expect.objectContaining({ code: "CURSOR_INVALID" }));
  }
});

test("the row beyond the limit only tells that there is more", () => {
  const rows = [row(3), row(2), row(1)];
  const page = toPage(rows, 2, position, (one) => one.id);
  expect(page).toMatchObject({ object: "list", data: [rows[0]?.id, rows[1]?.id], has_more: true });
  expect(decodeCursor(page.next_cursor ?? "").id).toBe(rows[1]?.id);
  expect(toPage(rows, 3, position, (one) => one.id)).toMatchObject({ has_more: false, next_cursor: null });
});
