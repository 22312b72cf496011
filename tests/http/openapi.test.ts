import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { openApiDocument, printDocument } from "../../api/openapi-document.ts";

interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  security?: unknown[];
  responses: Record<string, { description: string; content?: Record<string, unknown> }>;
  requestBody?: { content: Record<string, { schema: object }> };
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { examples?: unknown[] }> };
}

const document = (await openApiDocument()) as Document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, path, operation })),
);

test("the committed document is what the routes say; `npm run openapi` writes it anew", async () => {
  const committed = await readFile(new URL("../../openapi/openapi.json", import.meta.url), "utf8");
  expect(committed).toBe(printDocument(document));
});

test("every operation has a summary, a tag, an id of its own and documented answers", () => {
  expect(document.openapi).toBe("3.1.0");
  expect(operations.length).toBeGreaterThan(30);
  for (const { name, operation } of operations) {
    expect(operation.summary, name).toBeTruthy();
    expect(operation.tags?.length, name).toBe(1);
    expect(Object.keys(operation.responses).length, name).toBeGreaterThan(0);
    for (const response of Object.values(operation.responses)) {
      expect(response.description, name).not.toBe("Default Response");
    }
  }
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test("everything under /v1 needs a key and documents its problems", () => {
  for (const { name, path, operation } of operations) {
    expect(operation.security !== undefined, name).toBe(path.startsWith("/v1/"));
    if (path.startsWith("/v1/")) expect(operation.responses.default?.content, name).toBeDefined();
  }
});

test("every reference leads somewhere and every component is used", () => {
  const text = JSON.stringify(document);
  const used = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]));
  expect([...used].sort()).toEqual(Object.keys(document.components.schemas).sort());
});

test("the nouns that clients read and write have examples", () => {
  for (const name of [
    "Model",
    "Sae",
    "Dataset",
    "Job",
    "Artifact",
    "Key",
    "Completion",
    "ChatCompletion",
    "Steering",
  ]) {
    expect(document.components.schemas[name]?.examples?.length, name).toBeGreaterThan(0);
  }
});

test("a kind or route that is not built is not in the document", () => {
  const text = JSON.stringify(document);
  for (const absent of ["tuning.sft", "/v1/webhooks"]) {
    expect(text, absent).not.toContain(absent);
  }
});
