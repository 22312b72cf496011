// What is registered, for the pages' choices.
import { answered, client, type Schemas } from "./client.ts";
import { type Resource, useResource } from "./use-resource.ts";

interface Page<T> {
  readonly data: readonly T[];
  readonly next_cursor: string | null;
}

/** A choice of more is no choice; the API serves the rest. */
const mostShown = 1000;

/** All pages of a list, up to a thousand entries. */
async function listAll<T>(read: (query: { limit: number; cursor?: string }) => Promise<Page<T>>): Promise<T[]> {
  const all: T[] = [];
  for (let cursor: string | null = null; ; ) {
    const page: Page<T> = await read({ limit: 100, ...(cursor === null ? {} : { cursor }) });
    all.push(...page.data);
    cursor = page.next_cursor;
    if (cursor === null || all.length >= mostShown) return all;
  }
}

export type Model = Schemas["Model"];
export type Sae = Schemas["Sae"];
export type Dataset = Schemas["Dataset"];
export type Variant = Schemas["Variant"];

export function useModels(): Resource<Model[]> {
  return useResource("models", (signal) =>
    listAll((query) => answered(client.GET("/v1/models", { params: { query }, signal }))),
  );
}

export function useVariants(): Resource<Variant[]> {
  return useResource("variants", (signal) =>
    listAll((query) => answered(client.GET("/v1/variants", { params: { query }, signal }))),
  );
}

/** In the order of layers. */
export function useSaes(): Resource<Sae[]> {
  return useResource("saes", async (signal) => {
    const saes = await listAll((query) => answered(client.GET("/v1/saes", { params: { query }, signal })));
    return saes.sort((a, b) => a.layer - b.layer || a.name.localeCompare(b.name, "en", { numeric: true }));
  });
}

export function useDatasets(): Resource<Dataset[]> {
  return useResource("datasets", (signal) =>
    listAll((query) => answered(client.GET("/v1/datasets", { params: { query }, signal }))),
  );
}
