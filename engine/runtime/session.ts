// The only file that touches ONNX Runtime.

import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { type DType, dtypes, type TypedArray } from "../onnx/dtype.ts";
import { Graph } from "../onnx/graph.ts";
import type { Tensor } from "./tensor.ts";

export type Device = "cpu" | "cuda" | "webgpu";

export interface SessionOptions {
  readonly device?: Device;
  /** Threads inside one operator; 0 or absent: one per physical core. */
  readonly threads?: number;
  /** Folder in which the file names of external initializers are looked up. Pass the real path: links out of it are refused. */
  readonly externalFolder?: string;
  /** Weights are repacked once for faster products, at the price of a second copy in memory. Default true. */
  readonly prepack?: boolean;
}

export interface RunOptions {
  /** Names of the outputs to return; default all. Not fetching an output does not skip its computation. */
  readonly fetch?: readonly string[];
  /** Outputs to be written into these tensors' own arrays; they are fetched too. */
  readonly into?: Readonly<Record<string, Tensor>>;
}

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Blocks the event loop while it computes: services run it in a process of its own. */
  run(feeds: Readonly<Record<string, Tensor>>, options?: RunOptions): Promise<Record<string, Tensor>>;
  close(): Promise<void>;
}

export async function openSession(model: Uint8Array | Graph, options: SessionOptions = {}): Promise<Session> {
  const bytes = model instanceof Graph ? model.toBytes() : model;
  const ort = await InferenceSession.create(bytes, sessionOptions(options));
  return {
    inputNames: ort.inputNames,
    outputNames: ort.outputNames,
    run: (feeds, runOptions) => run(ort, feeds, runOptions ?? {}),
    close: () => ort.release(),
  };
}

function sessionOptions(options: SessionOptions): InferenceSession.SessionOptions {
  const session: Record<string, string> = {};
  if (options.externalFolder) session.model_external_initializers_file_folder_path = options.externalFolder;
  if (options.prepack === false) session.disable_prepacking = "1";
  return {
    executionProviders: [options.device ?? "cpu"],
    // Nodes run one after the other: results and memory then do not depend on scheduling, and our graphs are chains anyway.
    executionMode: "sequential",
    interOpNumThreads: 1,
    intraOpNumThreads: options.threads ?? 0,
    graphOptimizationLevel: "all",
    // Warnings about initializers that the optimiser removed are noise; errors come as exceptions.
    logSeverityLevel: 3,
    extra: { session },
  };
}

async function run(
  ort: InferenceSession,
  feeds: Readonly<Record<string, Tensor>>,
  { fetch, into = {} }: RunOptions,
): Promise<Record<string, Tensor>> {
  const unknown = Object.keys(feeds).find((name) => !ort.inputNames.includes(name));
  if (unknown !== undefined) throw new RangeError(`there is no input ${unknown}; inputs: ${ort.inputNames.join(", ")}`);
  const inputs = mapValues(feeds, toOrt);
  const wanted = new Set([...(fetch ?? ort.outputNames), ...Object.keys(into)]);
  const fetches: Record<string, OrtTensor | null> = {};
  for (const name of wanted) {
    if (!ort.outputNames.includes(name)) {
      throw new RangeError(`there is no output ${name}; outputs: ${ort.outputNames.join(", ")}`);
    }
    const target = into[name];
    fetches[name] = target ? toOrt(target, name) : null;
  }
  const results = await ort.run(inputs, fetches);
  return mapValues(results, (result, name) => into[name] ?? fromOrt(result));
}

function toOrt(tensor: Tensor, name: string): OrtTensor {
  if (tensor.dtype === "bfloat16") {
    throw new TypeError(
      `${name}: ONNX Runtime's Node binding carries no bfloat16; use an external initializer and a cast`,
    );
  }
  if (tensor.data.constructor !== dtypes[tensor.dtype].array) {
    throw new TypeError(
      `${name}: ${tensor.dtype} needs ${dtypes[tensor.dtype].array.name}, got ${tensor.data.constructor.name}`,
    );
  }
  // Uint16Array is accepted for float16: where Float16Array exists the library makes a view of the same memory.
  return new OrtTensor(tensor.dtype, tensor.data as Float32Array, tensor.shape as number[]);
}

function fromOrt(result: OrtTensor): Tensor {
  const dtype = result.type as DType;
  const data = result.data as unknown as TypedArray;
  const ours = dtypes[dtype].array;
  const same = data.constructor === ours ? data : new ours(data.buffer, data.byteOffset, data.length);
  return { dtype, shape: result.dims, data: same };
}

function mapValues<A, B>(
  record: Readonly<Record<string, A>>,
  change: (value: A, name: string) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value, name)]));
}
