import { Problem } from "../../domain/problem.ts";
import { type EncodedText, EncodeRequest, EncodeResponse } from "../../domain/sae.ts";
import type { App } from "../context.ts";
import { startRequest } from "../generation/relay.ts";
import { findSae, found } from "../lookup.ts";
import { clientAbort } from "../sse.ts";
import { ByIdOrName } from "./models.ts";

export async function encodeRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/saes/:id/encode",
    {
      config: { scope: "write" },
      schema: {
        tags: ["saes"],
        operationId: "encodeTexts",
        summary: "Texts to tokens and the features active on each",
        description: "Read after all edits, which there are none of here; features strongest first, at most k a token.",
        params: ByIdOrName,
        body: EncodeRequest,
        response: { 200: EncodeResponse },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const sae = found(await findSae(platform, request.caller.workspaceId, id), "SAE_NOT_FOUND", id);
      const { texts } = request.body;
      const input = { kind: "encode" as const, model_id: sae.model_id, sae_id: sae.id, texts };
      const relay = await startRequest(platform, request.caller, input, clientAbort(reply).signal);
      const results = new Map<number, EncodedText>();
      for await (const event of relay.events) {
        if (event.type === "encoded") results.set(event.data.text, event.data.result);
      }
      return {
        object: "encoding" as const,
        sae_id: sae.id,
        model_id: sae.model_id,
        results: texts.map((_, index) => {
          const result = results.get(index);
          if (result === undefined) throw new Problem("INTERNAL_ERROR", `text ${index} was never encoded`);
          return result;
        }),
      };
    },
  );
}
