// The rows that an index writes of an sae's features.
import type { Transaction } from "./database.ts";

export interface FeatureValues {
  readonly firing_count: number;
  readonly firing_rate: number;
  readonly mean: number;
  readonly mean_when_active: number | null;
  readonly max_activation: number;
  readonly first_position_rate: number;
  readonly decoder_norm: number;
  readonly dense: boolean;
  readonly register: boolean;
  readonly top_tokens: readonly string[];
  readonly details_offset: number;
  readonly details_length: number;
}

/** Between the tokens of a feature on their way into the database; a token may be anything else but this and U+0000. */
const SEPARATOR = "\u001f";
/** Rows of one statement: its parameters are held in memory on both sides. */
const CHUNK = 8192;

/** Of features 0, 1, …; numbers that were there are replaced, labels stay. */
export async function writeFeatureRows(tx: Transaction, saeId: string, rows: readonly FeatureValues[]): Promise<void> {
  for (let first = 0; first < rows.length; first += CHUNK) {
    const part = rows.slice(first, first + CHUNK);
    const of = <K extends keyof FeatureValues>(name: K) => part.map((row) => row[name]);
    const tokens = part.map((row) => row.top_tokens.map(storable).join(SEPARATOR));
    await tx.$executeRaw`
      INSERT INTO features (sae_id, index, firing_count, firing_rate, mean, mean_when_active, max_activation, first_position_rate,
        decoder_norm, dense, register, details_offset, details_length, top_tokens)
      SELECT ${saeId}, ${first}::int + given.at - 1, given.firing_count, given.firing_rate, given.mean, given.mean_when_active,
        given.max_activation, given.first_position_rate, given.decoder_norm, given.dense, given.register, given.details_offset,
        given.details_length, string_to_array(given.top_tokens, ${SEPARATOR})
      FROM unnest(${of("firing_count")}::float8[], ${of("firing_rate")}::float8[], ${of("mean")}::float8[],
        ${of("mean_when_active")}::float8[], ${of("max_activation")}::float8[], ${of("first_position_rate")}::float8[],
        ${of("decoder_norm")}::float8[], ${of("dense")}::bool[], ${of("register")}::bool[], ${of("details_offset")}::float8[],
        ${of("details_length")}::int[], ${tokens}::text[]) WITH ORDINALITY
        AS given(firing_count, firing_rate, mean, mean_when_active, max_activation, first_position_rate, decoder_norm, dense,
          register, details_offset, details_length, top_tokens, at)
      ON CONFLICT (sae_id, index) DO UPDATE SET firing_count = excluded.firing_count, firing_rate = excluded.firing_rate,
        mean = excluded.mean, mean_when_active = excluded.mean_when_active, max_activation = excluded.max_activation,
        first_position_rate = excluded.first_position_rate, decoder_norm = excluded.decoder_norm, dense = excluded.dense,
        register = excluded.register, details_offset = excluded.details_offset, details_length = excluded.details_length,
        top_tokens = excluded.top_tokens`;
  }
}

/** A byte-level vocabulary has tokens of single control bytes, of which the database takes all but one. */
function storable(token: string): string {
  return token.replaceAll("\0", "\u2400").replaceAll(SEPARATOR, "\u241f");
}
