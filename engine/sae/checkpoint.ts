// A trainer's state as one safetensors blob: the arrays as tensors `{sae}.{name}`, the rest as JSON in the metadata.

import {
  type NamedTensor,
  parseSafetensors,
  type SafetensorsDType,
  SafetensorsError,
  safetensorsParts,
} from "../../formats/safetensors.ts";
import type { RandomState } from "../runtime/random.ts";
import type { TrainingConfig } from "./config.ts";
import type { LearnerState } from "./learner.ts";
import { histogramBins, type TokenFilterState } from "./token-filter.ts";
import type { SaeTrainingState, TrainerState } from "./trainer.ts";
import type { SaeTensors } from "./workspace.ts";

const format = "qwen-scope-sae-training-2";

/** What of one sae's state is not an array. */
interface Header {
  readonly config: TrainingConfig;
  readonly filter: Omit<TokenFilterState, "histogram">;
  readonly random: RandomState;
  readonly batchesSkipped: number;
  readonly learner:
    | (Pick<LearnerState, "step" | "inputScale" | "runningThreshold" | "recentFvu"> & {
        readonly hasThresholds: boolean;
      })
    | null;
}

const thresholdTensors = ["value_F", "m_F", "v_F"] as const;

/**
 * The state as bytes; resuming from them is bit-identical. Given as parts that follow each other, most of them views of
 * the state: a checkpoint takes no memory of its own, and training must wait until the last part was read. `about` is for the caller: where the stream stood, and the
 * runtime version, which the promise of equal bits depends on.
 */
export function serializeCheckpoint(
  state: TrainerState,
  about: Readonly<Record<string, string>> = {},
): Iterable<Uint8Array> {
  const tensors: NamedTensor[] = [];
  const headers = state.saes.map((sae, index): Header => {
    const add = (name: string, data: Float32Array | Float64Array, shape: readonly number[] = [data.length]) =>
      tensors.push({ name: `${index}.${name}`, dtype: data instanceof Float64Array ? "F64" : "F32", shape, data });
    const { config, learner } = sae;
    const { histogram, ...filter } = sae.filter;
    add("filter.histogram", histogram);
    add("buffer", sae.buffer.rows_BD, [sae.buffer.rows_BD.length / config.dModel, config.dModel]);
    if (learner) {
      for (const group of ["weights", "m", "v"] as const) {
        for (const [name, shape] of tensorShapes(config)) add(`${group}.${name}`, learner[group][name], shape);
      }
      add("silent_rows", learner.silentRows_F);
      if (learner.thresholds) for (const name of thresholdTensors) add(`thresholds.${name}`, learner.thresholds[name]);
    }
    const summary = learner && {
      step: learner.step,
      inputScale: learner.inputScale,
      runningThreshold: learner.runningThreshold,
      recentFvu: learner.recentFvu,
      hasThresholds: learner.thresholds !== null,
    };
    return { config, filter, random: sae.buffer.random, batchesSkipped: sae.batchesSkipped, learner: summary };
  });
  return safetensorsParts(tensors, { ...about, format, saes: JSON.stringify(headers) });
}

/** The inverse. Throws SafetensorsError naming what is wrong: another format, a missing tensor, a wrong size. */
export function parseCheckpoint(bytes: Uint8Array): { state: TrainerState; about: Record<string, string> } {
  const file = parseSafetensors(bytes);
  const { format: found, saes, ...about } = file.metadata;
  if (found !== format || saes === undefined) {
    throw new SafetensorsError(`not a training checkpoint: format is ${JSON.stringify(found)}, expected "${format}"`);
  }
  const read = (name: string, dtype: SafetensorsDType, length: number | null): Uint8Array => {
    const data = file.bytesOf(name);
    const entry = file.tensors.get(name)!;
    const count = entry.shape.reduce((product, size) => product * size, 1);
    if (entry.dtype !== dtype || (length !== null && count !== length)) {
      const expected = `${dtype}${length === null ? "" : ` × ${length}`}`;
      throw new SafetensorsError(`tensor "${name}" must be ${expected}, got ${entry.dtype} × ${count}`);
    }
    return data;
  };
  const float32 = (name: string, length: number | null) => view(read(name, "F32", length), Float32Array);
  const float64 = (name: string, length: number) => view(read(name, "F64", length), Float64Array);

  const headers = JSON.parse(saes) as Header[];
  const state = {
    saes: headers.map(({ config, filter, random, batchesSkipped, learner }, index): SaeTrainingState => {
      const tensorsOf = (group: string) =>
        Object.fromEntries(
          tensorShapes(config).map(([name, shape]) => [
            name,
            float32(
              `${index}.${group}.${name}`,
              shape.reduce((product, size) => product * size, 1),
            ),
          ]),
        ) as unknown as SaeTensors;
      const threshold = (name: (typeof thresholdTensors)[number]) =>
        float32(`${index}.thresholds.${name}`, config.width);
      const learnerOf = ({ hasThresholds, ...summary }: NonNullable<Header["learner"]>): LearnerState => ({
        ...summary,
        weights: tensorsOf("weights"),
        m: tensorsOf("m"),
        v: tensorsOf("v"),
        silentRows_F: float64(`${index}.silent_rows`, config.width),
        thresholds: hasThresholds
          ? { value_F: threshold("value_F"), m_F: threshold("m_F"), v_F: threshold("v_F") }
          : null,
      });
      return {
        config,
        filter: { ...filter, histogram: float64(`${index}.filter.histogram`, histogramBins) },
        buffer: { rows_BD: float32(`${index}.buffer`, null), random },
        batchesSkipped,
        learner: learner && learnerOf(learner),
      };
    }),
  };
  return { state, about };
}

function tensorShapes({ width, dModel }: TrainingConfig): [keyof SaeTensors, number[]][] {
  return [
    ["W_enc_FD", [width, dModel]],
    ["b_enc_F", [width]],
    ["W_dec_FD", [width, dModel]],
    ["b_dec_D", [dModel]],
  ];
}

/** A typed view of the bytes, copied only when they are not aligned for it. */
function view<T>(
  bytes: Uint8Array,
  array: { new (buffer: ArrayBuffer, offset: number, length: number): T; BYTES_PER_ELEMENT: number },
): T {
  const size = array.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / size);
}
