// The only file that touches ONNX Runtime.
//
// What crosses the border costs, measured with version 1.30 (50 M float32, 2 cores):
// - Inputs are not copied: the kernels read the typed arrays that were fed (0.03 ms for 200 MB).
// - A fetched output is copied once, into a fresh array (about 100 ms for 200 MB, mostly first touch of the pages).
// - `into` makes the kernel write straight into the given array, with no buffer of the runtime's own; the binding still
//   makes its copy, which is dropped here at once. So keep large state inside a graph over several steps (a loop), fetch
//   gradients rather than whole optimiser states, and never fetch what nobody reads.
//
// What is bit-identical on one CPU: everything between runs with equally many threads. Between thread counts: softmax,
// reductions, top-k, products with constant weights; products with weights that are fed only if the inner size is at
// most 128, or there are at least as many rows as columns, or each thread's share of the columns stays above 64 (the
// kernel picks its blocks along the inner size by that share). `log` is not, at 3 threads.

import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { type DType, dtypes, type TypedArray } from "../onnx/dtype.ts";
import { Graph } from "../onnx/graph.ts";
import { modelBytes } from "../onnx/serialize.ts";
import type { Tensor } from "./tensor.ts";

export type Device = "cpu" | "cuda" | "webgpu";

/** What the device needs is not on this machine; the message says what to install. */
export class DeviceUnavailableError extends Error {
  override readonly name = "DeviceUnavailableError";
}

const remedies: Readonly<Record<Exclude<Device, "cpu">, string>> = {
  cuda:
    "it needs Linux on x64, the driver of an NVIDIA GPU, CUDA 12 with cuDNN 9, and the CUDA provider of ONNX Runtime, which " +
    "`ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install` fetches",
  webgpu: "it needs a GPU that Vulkan, Metal or DirectX 12 can use",
};

/**
 * Opens the smallest of graphs there. The CPU is always available.
 *
 * @throws DeviceUnavailableError
 */
export async function checkDevice(device: Device): Promise<void> {
  if (device === "cpu") return;
  const graph = new Graph("probe");
  graph.output(graph.input("x", "float32", [1]), "y");
  try {
    const probe = await InferenceSession.create(modelBytes(graph), sessionOptions({ device }));
    await probe.release();
  } catch (error) {
    const cause = (error as Error).message.split("\n")[0];
    throw new DeviceUnavailableError(`the device ${device} cannot be used: ${remedies[device]} (${cause})`, {
      cause: error,
    });
  }
}

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
  /**
   * Outputs to be written into these tensors' own arrays, which become the results. Never an array that is also fed,
   * unless its last reader comes before the writer in every possible order.
   */
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
  const bytes = model instanceof Graph ? modelBytes(model) : model;
  const ort = await InferenceSession.create(bytes, sessionOptions(options)).catch(async (error) => {
    await checkDevice(options.device ?? "cpu");
    throw error;
  });
  const running = new Set<Promise<unknown>>();
  let closed = false;
  return {
    inputNames: ort.inputNames,
    outputNames: ort.outputNames,
    async run(feeds, runOptions = {}) {
      if (closed) throw new Error("the session is closed");
      const result = run(ort, feeds, runOptions);
      running.add(result);
      return result.finally(() => running.delete(result));
    },
    async close() {
      if (closed) return;
      closed = true;
      // A run starts in a later turn of the event loop: it must not find its session gone.
      await Promise.allSettled(running);
      await ort.release();
    },
  };
}

function sessionOptions(options: SessionOptions): InferenceSession.SessionOptions {
  // Worker threads spin between operators, which is fast, but must not go on between runs: the cores belong to us then.
  const session: Record<string, string> = { force_spinning_stop: "1" };
  if (options.externalFolder) session.model_external_initializers_file_folder_path = options.externalFolder;
  if (options.prepack === false) session.disable_prepacking = "1";
  return {
    executionProviders: [options.device ?? "cpu"],
    // Nodes run one after the other: results and memory then do not depend on scheduling, and our graphs are chains anyway.
    executionMode: "sequential",
    interOpNumThreads: 1,
    intraOpNumThreads: options.threads ?? 0,
    graphOptimizationLevel: "all",
    // Every error comes as an exception; a second copy on stderr helps nobody.
    logSeverityLevel: 4,
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
  const result = new OrtTensor(tensor.dtype, tensor.data as Float32Array, tensor.shape as number[]);
  // Where Float16Array exists the library turns the bits into one, which its native half then takes for an empty array
  // ("not enough space: expected 4, got 0"). It reads 16-bit integers properly, so it gets to see those.
  if (tensor.dtype === "float16") Object.defineProperty(result, "data", { value: tensor.data });
  return result;
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
