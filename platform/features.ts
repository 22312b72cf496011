// Features of an sae in the database: lists with their sorts and cursors, search in labels, and the labels themselves.
import type { FeatureSort, LabelLine } from "../domain/feature.ts";
import { Prisma, type PrismaClient } from "../prisma/client/client.ts";

export interface FeatureRow {
  readonly index: number;
  readonly firing_count: number | null;
  readonly firing_rate: number | null;
  readonly mean: number | null;
  readonly mean_when_active: number | null;
  readonly max_activation: number | null;
  readonly first_position_rate: number | null;
  readonly decoder_norm: number | null;
  readonly dense: boolean | null;
  readonly register: boolean | null;
  readonly top_tokens: string[] | null;
  readonly details_offset: number | null;
  readonly details_length: number | null;
  readonly label: string | null;
  readonly label_source: string | null;
  readonly label_score: number | null;
}

export interface FeatureListing {
  readonly saeId: string;
  readonly width: number;
  /** Whether every feature has a row. */
  readonly indexed: boolean;
  readonly query: string | undefined;
  readonly labelled: boolean | undefined;
  readonly sort: FeatureSort;
  readonly descending: boolean;
  /** The last row of the page before. */
  readonly after: { readonly value: number | null; readonly index: number } | null;
  readonly limit: number;
}

/** Below, a typo is taken for another word: "recpie" and "recipes" have 0.43, "dog" and "days" 0.25. */
const ALIKE = "0.35";

const columns = Prisma.sql`f.firing_count::float8, f.firing_rate, f.mean, f.mean_when_active, f.max_activation, f.first_position_rate,
  f.decoder_norm, f.dense, f.register, f.top_tokens, f.details_offset::float8, f.details_length, f.label, f.label_source, f.label_score`;

/** At most `limit` rows, each with the value it was sorted by; null sorts last, and ties by index. */
export async function listFeatures(
  db: PrismaClient,
  listing: FeatureListing,
): Promise<(FeatureRow & { readonly sort_value: number | null })[]> {
  const { query, indexed, labelled, sort } = listing;
  // Without the index nothing but the label is known of a feature, so every order is that of the indices.
  if (query === undefined && labelled !== true && (sort === "index" || !indexed)) return await inOrder(db, listing);
  const [, rows] = await db.$transaction([
    db.$executeRaw`SELECT set_config('pg_trgm.word_similarity_threshold', ${ALIKE}, true)`,
    db.$queryRaw<(FeatureRow & { sort_value: number | null })[]>(matching(listing)),
  ]);
  return rows;
}

async function inOrder(db: PrismaClient, { saeId, width, sort, descending, labelled, after, limit }: FeatureListing) {
  const down = sort === "index" && descending;
  const start = after === null ? (down ? width - 1 : 0) : after.index + (down ? -1 : 1);
  const end = labelled === undefined ? start + (down ? 1 - limit : limit - 1) : down ? 0 : width - 1;
  const [from, to, step] = down ? [start, Math.max(0, end), -1] : [start, Math.min(width - 1, end), 1];
  const unlabelled = labelled === undefined ? Prisma.empty : Prisma.sql`WHERE f.label IS NULL`;
  return await db.$queryRaw<(FeatureRow & { sort_value: number | null })[]>`
    SELECT s.index, s.index::float8 AS sort_value, ${columns}
    FROM generate_series(${from}::int, ${to}::int, ${step}::int) AS s(index)
    LEFT JOIN features f ON f.sae_id = ${saeId} AND f.index = s.index ${unlabelled}
    ORDER BY s.index ${down ? Prisma.sql`DESC` : Prisma.empty} LIMIT ${limit}`;
}

function matching({ saeId, query, labelled, sort, descending, after, limit }: FeatureListing): Prisma.Sql {
  const value = sort === "relevance" && query === undefined ? "index" : sort;
  const [order, past] = descending
    ? [Prisma.sql`sort_value DESC NULLS LAST`, Prisma.sql`<`]
    : [Prisma.sql`sort_value ASC NULLS LAST`, Prisma.sql`>`];
  const label =
    labelled === undefined
      ? Prisma.empty
      : labelled
        ? Prisma.sql`AND f.label IS NOT NULL`
        : Prisma.sql`AND f.label IS NULL`;
  const found = query === undefined ? Prisma.empty : Prisma.sql`AND f.index IN (${matches(saeId, query)})`;
  const beyond =
    after === null
      ? Prisma.empty
      : after.value === null
        ? Prisma.sql`WHERE sort_value IS NULL AND index > ${after.index}`
        : Prisma.sql`WHERE sort_value ${past} ${after.value}::float8 OR sort_value IS NULL
            OR (sort_value = ${after.value}::float8 AND index > ${after.index})`;
  return Prisma.sql`
    SELECT * FROM (
      SELECT f.index, (${value === "relevance" ? relevance(query!) : Prisma.raw(`f.${value}`)})::float8 AS sort_value, ${columns}
      FROM features f WHERE f.sae_id = ${saeId} ${label} ${found}
    ) AS listed ${beyond} ORDER BY ${order}, index LIMIT ${limit}`;
}

/** By the words of the label, by words that look like them, by a part of it, or by a token that the feature promotes. */
function matches(saeId: string, query: string): Prisma.Sql {
  return Prisma.sql`
    SELECT index FROM features WHERE sae_id = ${saeId} AND label IS NOT NULL AND (
      to_tsvector('english', label) @@ websearch_to_tsquery('english', ${query}) OR ${query} <% label OR label ILIKE ${partOf(query)})
    UNION SELECT index FROM features WHERE sae_id = ${saeId} AND top_tokens && ${tokensLike(query)}::text[]`;
}

function relevance(query: string): Prisma.Sql {
  return Prisma.sql`
    coalesce((to_tsvector('english', f.label) @@ websearch_to_tsquery('english', ${query}))::int, 0)
    + coalesce(word_similarity(${query}, f.label), 0) + 0.5 * coalesce((f.label ILIKE ${partOf(query)})::int, 0)
    + 0.5 * coalesce((f.top_tokens && ${tokensLike(query)}::text[])::int, 0)`;
}

function partOf(query: string): string {
  return `%${query.trim().replaceAll(/[\\%_]/g, "\\$&")}%`;
}

/** A word is one token after a space and another one without, and small or capital. */
function tokensLike(query: string): string[] {
  const word = query.trim();
  const capital = word.charAt(0).toUpperCase() + word.slice(1);
  return [...new Set([query, word, word.toLowerCase(), capital].flatMap((form) => [form, ` ${form}`]))];
}

/** Null: it has no row, because it is neither indexed nor labelled. */
export async function findFeature(db: PrismaClient, saeId: string, index: number): Promise<FeatureRow | null> {
  const [row] = await db.$queryRaw<FeatureRow[]>`
    SELECT f.index, ${columns} FROM features f WHERE f.sae_id = ${saeId} AND f.index = ${index}`;
  return row ?? null;
}

/** a_f of the feature index, or null. A feature that was never seen active has no maximum to speak of. */
export async function maxActivationOf(db: PrismaClient, saeId: string, index: number): Promise<number | null> {
  const row = await db.feature.findUnique({ where: { sae_id_index: { sae_id: saeId, index } } });
  return row?.max_activation || null;
}

export interface FeatureLabels {
  readonly saeId: string;
  readonly labels: readonly LabelLine[];
  /** false: features that have a label keep it; "model": unless a model wrote it. */
  readonly replace: boolean | "model";
}

/** How many features have the given label now. Of two lines for a feature the last counts. */
export async function writeLabels(
  db: Pick<PrismaClient, "$executeRaw">,
  { saeId, labels, replace }: FeatureLabels,
): Promise<number> {
  const last = [...new Map(labels.map((line) => [line.index, line])).values()];
  if (last.length === 0) return 0;
  return await db.$executeRaw`
    INSERT INTO features AS f (sae_id, index, label, label_source, label_score, labelled_at, top_tokens)
    SELECT ${saeId}, given.*, now(), '{}' FROM unnest(${last.map((line) => line.index)}::int[], ${last.map((line) => line.label.trim())}::text[],
      ${last.map((line) => line.source ?? "import")}::text[], ${last.map((line) => line.score ?? null)}::float8[]) AS given
    ON CONFLICT (sae_id, index) DO UPDATE SET label = excluded.label, label_source = excluded.label_source,
      label_score = excluded.label_score, labelled_at = excluded.labelled_at
    WHERE ${replace === true} OR f.label IS NULL OR (${replace === "model"} AND f.label_source = 'model')`;
}

export async function removeLabel(db: PrismaClient, saeId: string, index: number): Promise<void> {
  const nothing = { label: null, label_source: null, label_score: null, labelled_at: null };
  await db.feature.updateMany({ where: { sae_id: saeId, index }, data: nothing });
}

/** The labels of some features, by index. */
export async function labelsOf(
  db: PrismaClient,
  saeId: string,
  indices: readonly number[],
): Promise<ReadonlyMap<number, string>> {
  if (indices.length === 0) return new Map();
  const where = { sae_id: saeId, index: { in: [...indices] }, label: { not: null } };
  const rows = await db.feature.findMany({ where, select: { index: true, label: true } });
  return new Map(rows.map(({ index, label }) => [index, label!]));
}

/** Every label of the sae, in the order of the features. */
export async function* readLabels(db: PrismaClient, saeId: string): AsyncGenerator<LabelLine> {
  const take = 1000;
  for (let after = -1; ; ) {
    const where = { sae_id: saeId, index: { gt: after }, label: { not: null } };
    const rows = await db.feature.findMany({ where, orderBy: { index: "asc" }, take });
    for (const { index, label, label_source, label_score } of rows)
      yield { index, label: label!, source: label_source as LabelLine["source"] & string, score: label_score };
    if (rows.length < take) return;
    after = rows.at(-1)!.index;
  }
}

/** Features that the index found to be always on, whatever the text. */
export async function registersOf(db: PrismaClient, workspaceId: string, saeId: string): Promise<number[]> {
  const rows = await db.feature.findMany({
    where: { sae_id: saeId, sae: { workspace_id: workspaceId }, register: true },
    select: { index: true },
  });
  return rows.map(({ index }) => index);
}

/** Features that are worth a label and have none: active, but not on most tokens. Drawn by a seed. */
export async function drawUnlabelled(db: PrismaClient, saeId: string, count: number, seed: number): Promise<number[]> {
  const rows = await db.$queryRaw<{ index: number }[]>`
    SELECT index FROM features WHERE sae_id = ${saeId} AND label IS NULL AND firing_count > 0 AND NOT dense AND NOT register
    ORDER BY md5(index || ' ' || ${seed}::bigint) LIMIT ${count}`;
  return rows.map(({ index }) => index).sort((a, b) => a - b);
}
