import type { ActivationBatch } from "../runtime/activations.ts";

/**
 * Whose features stand for a sample: those of its last token (the paper's choice), those of the mean of its residual stream,
 * or those of any of its tokens.
 */
export type SamplePosition = "last" | "mean" | "any";

/** The rows of one layer that are to be encoded, and which sample each belongs to. */
export interface SampleRows {
  /** [R, D] */
  readonly rows_RD: Float32Array;
  /** Number of the sequence of each row, as in the batch; rows of a sequence stand together, in order. */
  readonly sequence_R: Int32Array;
}

/**
 * Picks from a batch of whole sequences the rows that stand for them.
 *
 * "mean" and "any" leave out position 0 (its norm is an outlier in most models), except in a sequence of one token.
 *
 * @param layer one of the batch's layers
 * @throws RangeError when the batch lacks the layer or does not hold whole sequences in order
 */
export function sampleRows(batch: ActivationBatch, layer: number, position: SamplePosition): SampleRows {
  const at = batch.layers.indexOf(layer);
  const source_BD = batch.activations[at];
  if (source_BD === undefined) throw new RangeError(`layer ${layer}: the batch has only ${batch.layers.join(", ")}`);
  const dModel = batch.rows === 0 ? 0 : source_BD.length / batch.rows;
  const spans = sequenceSpans(batch);
  if (position === "any") return anyRows(batch, source_BD, dModel, spans);

  const rows_RD = new Float32Array(spans.length * dModel);
  for (const [row, { start, end }] of spans.entries()) {
    const target = rows_RD.subarray(row * dModel, (row + 1) * dModel);
    if (position === "last") target.set(source_BD.subarray((end - 1) * dModel, end * dModel));
    else meanInto(target, source_BD, start, end);
  }
  return { rows_RD, sequence_R: Int32Array.from(spans, ({ start }) => batch.sequence[start]!) };
}

interface Span {
  readonly start: number;
  readonly end: number;
}

function sequenceSpans({ rows, sequence, position }: ActivationBatch): Span[] {
  const spans: Span[] = [];
  for (let start = 0; start < rows; ) {
    let end = start + 1;
    while (end < rows && sequence[end] === sequence[start]) end += 1;
    // A sequence cut in two would count as two samples, with the wrong last token in the first.
    if (position[start] !== 0 || position[end - 1] !== end - start - 1) {
      throw new RangeError(`sequence ${sequence[start]}: its rows in the batch are not all its positions in order`);
    }
    spans.push({ start, end });
    start = end;
  }
  return spans;
}

function meanInto(target_D: Float32Array, source_BD: Float32Array, start: number, end: number): void {
  const dModel = target_D.length;
  const first = end - start > 1 ? start + 1 : start;
  for (let d = 0; d < dModel; d++) {
    let sum = 0;
    for (let row = first; row < end; row++) sum += source_BD[row * dModel + d]!;
    target_D[d] = sum / (end - first);
  }
}

function anyRows(
  { rows, sequence }: ActivationBatch,
  source_BD: Float32Array,
  dModel: number,
  spans: readonly Span[],
): SampleRows {
  const skipped = spans.filter(({ start, end }) => end - start > 1).length;
  const rows_RD = new Float32Array((rows - skipped) * dModel);
  const sequence_R = new Int32Array(rows - skipped);
  let row = 0;
  for (const { start, end } of spans) {
    const first = end - start > 1 ? start + 1 : start;
    rows_RD.set(source_BD.subarray(first * dModel, end * dModel), row * dModel);
    sequence_R.fill(sequence[start]!, row, row + end - first);
    row += end - first;
  }
  return { rows_RD, sequence_R };
}
