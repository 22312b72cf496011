import { Type } from "typebox";
import {
  EditFeature,
  Feature,
  FeatureDetail,
  FeatureQuery,
  type FeatureQuery as FeatureQueryType,
} from "../../domain/feature.ts";
import { decodeFeatureCursor, encodeFeatureCursor } from "../../domain/feature-cursor.ts";
import { defaultPageLimit, Page } from "../../domain/page.ts";
import { Problem } from "../../domain/problem.ts";
import { closed } from "../../domain/schema.ts";
import type { Sae } from "../../platform/database.ts";
import { findFeature, labelsOf, listFeatures, removeLabel, writeLabels } from "../../platform/features.ts";
import type { App } from "../context.ts";
import { readDetails } from "../feature-details.ts";
import { findSae, found } from "../lookup.ts";
import { wireFeature, wireFeatureDetail } from "../wire/feature.ts";
import { ByIdOrName } from "./models.ts";

const OneFeature = closed({ ...ByIdOrName.properties, index: Type.Integer({ minimum: 0 }) });

export async function featureRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.get(
    "/v1/saes/:id/features",
    {
      config: { scope: "read" },
      schema: {
        tags: ["saes"],
        operationId: "listFeatures",
        summary: "List or search the features of an sae",
        description:
          "Before `features.index` has run every feature is listed with its label and without numbers, in the order of the indices.",
        params: ByIdOrName,
        querystring: FeatureQuery,
        response: { 200: Page(Feature, "FeaturePage") },
      },
    },
    async (request) => {
      const { id } = request.params;
      const sae = found(await findSae(platform, request.caller.workspaceId, id), "SAE_NOT_FOUND", id);
      return await pageOfFeatures(sae, request.query);
    },
  );

  async function pageOfFeatures(sae: Sae, { query, labelled, limit = defaultPageLimit, ...given }: FeatureQueryType) {
    const sort = given.sort ?? (query === undefined ? "index" : "relevance");
    if (sort === "relevance" && query === undefined) {
      const detail = "relevance is to a query, and there is none";
      throw new Problem("SETTINGS_CONTRADICTORY", detail, { errors: [{ pointer: "/sort", detail }] });
    }
    const descending = given.order === undefined ? sort !== "index" : given.order === "desc";
    const rows = await listFeatures(platform.db, {
      saeId: sae.id,
      width: sae.width,
      indexed: (await platform.db.featureIndex.count({ where: { sae_id: sae.id } })) > 0,
      ...{ query, labelled, sort, descending },
      after: given.cursor === undefined ? null : decodeFeatureCursor(given.cursor, sort, descending),
      limit: limit + 1,
    });
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    return {
      object: "list" as const,
      data: rows.slice(0, limit).map((row) => wireFeature(sae.id, row.index, row)),
      has_more: last !== undefined,
      next_cursor: last ? encodeFeatureCursor({ sort, descending, value: last.sort_value, index: last.index }) : null,
    };
  }

  app.get(
    "/v1/saes/:id/features/:index",
    {
      config: { scope: "read" },
      schema: {
        tags: ["saes"],
        operationId: "getFeature",
        summary: "Read a feature",
        description: "Its numbers, and the evidence of `features.index`: histogram, examples, tokens, neighbours.",
        params: OneFeature,
        response: { 200: FeatureDetail },
      },
    },
    async (request) => {
      const { workspaceId } = request.caller;
      return await detailOf(workspaceId, await ownSae(workspaceId, request.params), request.params.index);
    },
  );

  app.patch(
    "/v1/saes/:id/features/:index",
    {
      config: { scope: "write" },
      schema: {
        tags: ["saes"],
        operationId: "editFeature",
        summary: "Label a feature",
        params: OneFeature,
        body: EditFeature,
        response: { 200: FeatureDetail },
      },
    },
    async (request) => {
      const { workspaceId } = request.caller;
      const { index } = request.params;
      const { label } = request.body;
      const sae = await ownSae(workspaceId, request.params);
      if (label === null) await removeLabel(platform.db, sae.id, index);
      else {
        const labels = [{ index, label, source: "human" as const }];
        await writeLabels(platform.db, { saeId: sae.id, labels, replace: true });
      }
      return await detailOf(workspaceId, sae, index);
    },
  );

  async function ownSae(workspaceId: string, { id, index }: { id: string; index: number }): Promise<Sae> {
    const sae = found(await findSae(platform, workspaceId, id), "SAE_NOT_FOUND", id);
    if (index < sae.width) return sae;
    throw new Problem("FEATURE_NOT_FOUND", `"${sae.name}" has features 0 to ${sae.width - 1}, there is no ${index}.`);
  }

  async function detailOf(workspaceId: string, sae: Sae, at: number) {
    const row = await findFeature(platform.db, sae.id, at);
    const feature = wireFeature(sae.id, at, row);
    const index = await platform.db.featureIndex.findUnique({ where: { sae_id: sae.id } });
    if (!index || !row) return wireFeatureDetail(feature, null, null, new Map());
    const details = await readDetails(platform, workspaceId, index.details_artifact_id, row);
    const neighbours = (details?.neighbours ?? []).map((one) => one.index);
    return wireFeatureDetail(feature, index, details, await labelsOf(platform.db, sae.id, neighbours));
  }
}
