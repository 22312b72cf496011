/** What an index leaves of one sae: a line of evidence per feature, a Parquet file of all numbers, and the rows of the database. */

import type { IndexedSae } from "../../../domain/feature-index.ts";
import { newId } from "../../../domain/id.ts";
import type { FeatureIndex } from "../../../engine/features/feature-index.ts";
import type { NearestDirections } from "../../../engine/features/nearest-directions.ts";
import type { LensTokens, LogitLens } from "../../../engine/llm/logit-lens.ts";
import { tokenTexts } from "../../../engine/llm/token-texts.ts";
import type { Tokenizer } from "../../../engine/llm/tokenizer.ts";
import { writeParquet } from "../../../formats/parquet-writer.ts";
import type { FeatureValues } from "../../../platform/feature-rows.ts";
import type { ProducedArtifact, ProducedFeatureIndex } from "../../protocol.ts";
import type { SaeRow } from "../../records.ts";
import { type JobContext, stepOrStop } from "../handler.ts";

export interface MadeIndex {
  readonly row: SaeRow;
  readonly index: FeatureIndex;
  readonly decoderNorm_F: Float64Array;
  readonly lens: LogitLens;
  readonly nearest: NearestDirections;
  readonly tokenizer: Tokenizer;
}

export interface IndexOutput {
  readonly summary: IndexedSae;
  readonly artifacts: readonly ProducedArtifact[];
  readonly produced: Pick<ProducedFeatureIndex, "saeId" | "rows" | "detailsArtifactId" | "summaryArtifactId">;
}

/** Lines between two looks at whether the job shall stop. */
const STEP_LINES = 256;
const TOP_TOKENS = 10;

export async function writeIndex(made: MadeIndex, context: JobContext): Promise<IndexOutput> {
  const { row } = made;
  const rows: FeatureValues[] = [];
  const details = await context.blobs.put(lines(made, rows, context));
  const summary = await context.blobs.put(writeParquet(columnsOf(made, rows)));
  const stored = await context.blobs.put(Buffer.from(rows.map((one) => `${JSON.stringify(one)}\n`).join("")));
  const artifact = (name: string, contentType: string, blob: typeof details): ProducedArtifact => ({
    ...{ id: newId("artifact"), name: `${row.name}/${name}`, contentType, blob },
  });
  const artifacts = [
    artifact("features.parquet", "application/vnd.apache.parquet", summary),
    artifact("features.jsonl", "application/jsonl", details),
  ] as const;
  const ids = { summaryArtifactId: artifacts[0].id, detailsArtifactId: artifacts[1].id };
  const [tokens] = made.index.tallies.arrays.seen;
  const count = (is: (one: FeatureValues) => boolean) => rows.reduce((sum, one) => sum + (is(one) ? 1 : 0), 0);
  return {
    artifacts,
    produced: { saeId: row.id, rows: stored, ...ids },
    summary: {
      ...{ sae_id: row.id, layer: row.layer, features: row.width },
      dead: count((one) => one.firing_count === 0),
      dense: count((one) => one.dense),
      registers: count((one) => one.register),
      active_per_token: rows.reduce((sum, one) => sum + one.firing_count, 0) / Math.max(1, tokens!),
      summary_artifact_id: ids.summaryArtifactId,
      details_artifact_id: ids.detailsArtifactId,
    },
  };
}

async function* lines(made: MadeIndex, rows: FeatureValues[], context: JobContext): AsyncGenerator<Uint8Array> {
  const words = createWords(made.tokenizer);
  let offset = 0;
  for (let feature = 0; feature < made.row.width; feature++) {
    const line = Buffer.from(`${lineOf(feature, made, words)}\n`);
    rows.push(valuesOf(feature, made, offset, line.length));
    offset += line.length;
    yield line;
    if (feature % STEP_LINES === 0) await stepOrStop(context);
  }
}

function valuesOf(
  feature: number,
  { index, decoderNorm_F, lens, tokenizer }: MadeIndex,
  offset: number,
  length: number,
) {
  const numbers = index.tallies.numbersOf(feature);
  return {
    ...{ firing_count: numbers.firingCount, firing_rate: numbers.firingRate, mean: numbers.mean },
    ...{ mean_when_active: numbers.meanWhenActive, max_activation: numbers.maxActivation },
    ...{ first_position_rate: numbers.firstPositionRate, decoder_norm: decoderNorm_F[feature]! },
    ...{ dense: numbers.dense, register: numbers.register },
    top_tokens: tokensOf(feature, lens.promoted, lens.count)
      .slice(0, TOP_TOKENS)
      .map(({ id }) => tokenizer.textOf(id)),
    ...{ details_offset: offset, details_length: length },
  } satisfies FeatureValues;
}

/** One line of FeatureDetailsLine. The windows, which are nearly all of it, are joined from pieces that are made once a token. */
function lineOf(feature: number, { index, lens, nearest }: MadeIndex, words: Words): string {
  const { tallies, examples } = index;
  const shown = examples.of(feature).map((one) => {
    const { band, sample, position, at } = one;
    const quantile = short(tallies.quantileOf(feature, one.value));
    const head = JSON.stringify({ band, value: short(one.value), quantile, sample, position, at });
    const tokens = words.heads([...one.tokens]).map((before, t) => `${before}${short(one.values[t]!)}}`);
    return `${head.slice(0, -1)},"tokens":[${tokens.join(",")}]}`;
  });
  const lensed = (tokens: LensTokens) =>
    tokensOf(feature, tokens, lens.count).map(({ id, logit }) => ({ id, text: words.text(id), logit: short(logit) }));
  const { edges, counts } = tallies.histogramOf(feature);
  const found = Array.from({ length: nearest.count }, (_, i) => feature * nearest.count + i);
  const head = JSON.stringify({
    index: feature,
    first_position_max: short(tallies.numbersOf(feature).firstPositionMax),
    histogram: { edges: edges.map(short), counts },
    promoted: lensed(lens.promoted),
    suppressed: lensed(lens.suppressed),
    neighbours: found
      .filter((i) => nearest.index_FK[i]! >= 0)
      .map((i) => ({ index: nearest.index_FK[i]!, cosine: short(nearest.cosine_FK[i]!) })),
  });
  return `${head.slice(0, -1)},"examples":[${shown.join(",")}]}`;
}

function tokensOf(feature: number, { id_FK, logit_FK }: LensTokens, count: number) {
  return Array.from({ length: count }, (_, i) => ({
    id: id_FK[feature * count + i]!,
    logit: logit_FK[feature * count + i]!,
  })).filter(({ id }) => id >= 0);
}

/** Float32 has seven digits and a half; more would only tell how they look in float64. */
function short(value: number): number {
  return Number(value.toPrecision(7));
}

interface Words {
  text(id: number): string;
  /** The tokens of a window as JSON, each up to its value. */
  heads(ids: readonly number[]): string[];
}

function createWords(tokenizer: Tokenizer): Words {
  const known = new Map<number, { readonly head: string; readonly whole: boolean }>();
  const headOf = (id: number, text: string) => `${JSON.stringify({ id, text }).slice(0, -1)},"value":`;
  const alone = (id: number) => {
    let found = known.get(id);
    if (found === undefined) {
      const text = tokenizer.textOf(id);
      found = { head: headOf(id, text), whole: !text.includes("\ufffd") };
      known.set(id, found);
    }
    return found;
  };
  return {
    text: (id) => tokenizer.textOf(id),
    heads(ids) {
      const found = ids.map(alone);
      if (found.every(({ whole }) => whole)) return found.map(({ head }) => head);
      // Parts of characters can only be read together.
      return tokenTexts(ids, tokenizer).map((text, t) => headOf(ids[t]!, text));
    },
  };
}

function columnsOf({ lens, nearest, tokenizer }: MadeIndex, rows: readonly FeatureValues[]) {
  const of = <K extends keyof FeatureValues>(name: K, type: "BOOLEAN" | "DOUBLE") => ({
    ...{ name, type, data: rows.map((one) => one[name]) },
  });
  const lensed = (tokens: LensTokens) =>
    rows.map((_, feature) =>
      tokensOf(feature, tokens, lens.count).map(({ id, logit }) => ({ id, text: tokenizer.textOf(id), logit })),
    );
  return [
    { name: "index", type: "INT32" as const, data: rows.map((_, index) => index) },
    { name: "firing_count", type: "INT64" as const, data: rows.map((one) => BigInt(one.firing_count)) },
    ...(
      ["firing_rate", "mean", "mean_when_active", "max_activation", "first_position_rate", "decoder_norm"] as const
    ).map((name) => of(name, "DOUBLE")),
    of("dense", "BOOLEAN"),
    of("register", "BOOLEAN"),
    { name: "promoted", type: "JSON" as const, data: lensed(lens.promoted) },
    { name: "suppressed", type: "JSON" as const, data: lensed(lens.suppressed) },
    {
      name: "nearest",
      type: "INT32" as const,
      data: rows
        .map((_, feature) => (nearest.count > 0 ? nearest.index_FK[feature * nearest.count]! : -1))
        .map((one) => (one < 0 ? null : one)),
    },
    {
      name: "nearest_cosine",
      type: "DOUBLE" as const,
      data: rows.map((_, f) =>
        nearest.count > 0 && nearest.index_FK[f * nearest.count]! >= 0 ? nearest.cosine_FK[f * nearest.count]! : null,
      ),
    },
  ];
}
