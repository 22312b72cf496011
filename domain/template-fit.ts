// Which benchmark a file is, told by its first row.
import type { ColumnMapping } from "./dataset.ts";
import type { FileShape } from "./ready-templates.ts";

/** A shape and the template that files of it are prompted with. */
export interface NamedShape extends FileShape {
  readonly template: string;
}

/** The shape that fits and has most columns; among equals the first. null when none fits. */
export function fittingShape(
  fields: Readonly<Record<string, unknown>>,
  shapes: readonly NamedShape[],
): NamedShape | null {
  let best: NamedShape | null = null;
  for (const shape of shapes) {
    if (fits(fields, shape) && (best === null || shape.columns.length > best.columns.length)) best = shape;
  }
  return best;
}

function fits(fields: Readonly<Record<string, unknown>>, { columns, values = {} }: FileShape): boolean {
  return (
    columns.every((column) => valueAt(fields, column) !== undefined) &&
    Object.entries(values).every(([column, pattern]) => pattern.test(String(valueAt(fields, column))))
  );
}

/**
 * The shape of a CSV file without a header, by its first record: as many columns as the shape names, with values that look right. A
 * shape that says nothing of values fits only `asked` for, since the number of columns alone tells little.
 */
export function headerlessShape(
  record: readonly string[],
  shapes: readonly NamedShape[],
  asked: boolean,
): NamedShape | null {
  const fitting = shapes.find(({ header, values = {} }) => {
    if (header === undefined || header.length !== record.length) return false;
    const checks = Object.entries(values);
    if (checks.length === 0 && !asked) return false;
    return checks.every(([column, pattern]) =>
      pattern.test(record[header.findIndex((name) => name.toLowerCase() === column.toLowerCase())] ?? ""),
    );
  });
  return fitting ?? null;
}

/** The shape's mapping for a file whose first row is this one, under what the client maps itself. */
export function mappingFor(
  shape: NamedShape | null,
  fields: Readonly<Record<string, unknown>>,
  given: ColumnMapping,
): ColumnMapping {
  if (shape === null) return given;
  const id = shape.id !== undefined && valueAt(fields, shape.id) !== undefined ? { id: shape.id } : {};
  return { ...id, ...shape.mapping, ...given };
}

function valueAt(fields: Readonly<Record<string, unknown>>, path: string): unknown {
  if (Object.hasOwn(fields, path)) return fields[path];
  let value: unknown = fields;
  for (const part of path.split(".")) {
    if (typeof value !== "object" || value === null) return undefined;
    const own = Object.keys(value).find((key) => key.toLowerCase() === part.toLowerCase());
    value = own === undefined ? undefined : (value as Record<string, unknown>)[own];
  }
  return value;
}
