// Writes openapi/openapi.json from the routes: `npm run openapi`.
import { writeFile } from "node:fs/promises";
import { openApiDocument, printDocument } from "../api/openapi-document.ts";

const target = new URL("../openapi/openapi.json", import.meta.url);
await writeFile(target, printDocument(await openApiDocument()));
console.log(`wrote ${target.pathname}`);
