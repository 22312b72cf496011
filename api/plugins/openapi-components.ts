// Moves every schema that has a title into components.schemas and leaves a reference in its place, so that the
// document names each noun once.

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

export function hoistTitled<D extends object>(document: D): D {
  const components: Record<string, Json> = {};
  const source = JSON.parse(JSON.stringify(document)) as JsonObject;
  const { info, paths, ...rest } = source;
  const hoisted = walk(paths ?? {}, components);
  const sorted = Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1)));
  const existing = (rest.components ?? {}) as JsonObject;
  const result = {
    ...rest,
    info: info ?? {},
    paths: hoisted,
    components: { ...existing, schemas: { ...((existing.schemas as JsonObject | undefined) ?? {}), ...sorted } },
  };
  return result as unknown as D;
}

function walk(value: Json, components: Record<string, Json>): Json {
  if (Array.isArray(value)) return value.map((item) => walk(item, components));
  if (value === null || typeof value !== "object") return value;
  const copy: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    // Examples and defaults are data: an object in them that happens to have a title is not a schema.
    copy[key] =
      key === "examples" || key === "example" || (key === "default" && !isResponse(item))
        ? item
        : walk(item, components);
  }
  const { title } = copy;
  if (typeof title !== "string" || !isSchema(copy)) return copy;
  const name = title.replaceAll(/[^A-Za-z0-9.]/g, "");
  const earlier = components[name] as JsonObject | undefined;
  if (earlier !== undefined && shapeOf(earlier) !== shapeOf(copy)) {
    throw new Error(`two different schemas are titled ${title}`);
  }
  // A request body loses its examples to the operation; elsewhere the same schema still has them.
  components[name] = earlier?.examples === undefined ? copy : earlier;
  return { $ref: `#/components/schemas/${name}` };
}

function shapeOf({ examples: _examples, ...schema }: JsonObject): string {
  return JSON.stringify(schema);
}

function isSchema(value: JsonObject): boolean {
  return ["type", "anyOf", "allOf", "oneOf", "enum"].some((key) => key in value);
}

/** `default` is also the response for every other status. */
function isResponse(value: Json): boolean {
  return typeof value === "object" && value !== null && "content" in value;
}
