// An open model: its config, tokenizer and chat template, and one resident copy of its weights.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Device, openSession } from "../runtime/session.ts";
import { type ChatRenderer, readChatTemplate } from "./chat-template.ts";
import { type DecoderConfig, parseDecoderConfig } from "./config.ts";
import { ModelConfigError, tokenIds } from "./config-json.ts";
import { openCheckpointTensors } from "./expert-tensors.ts";
import { type ForwardInput, type ForwardResult, runForward } from "./forward.ts";
import { buildInferenceGraph } from "./inference-graph.ts";
import { parameterCount } from "./parameters.ts";
import { openQuantizedWeights, type QuantizedWeights } from "./quantized-weights.ts";
import type { Products } from "./stored-weights.ts";
import { readTokenizer, type Tokenizer } from "./tokenizer.ts";
import { checkWeights } from "./weights.ts";

export interface ModelOptions {
  readonly device?: Device;
  /** Threads inside one operator; absent: one per physical core. */
  readonly threads?: number;
  /** Default float32 on the CPU, whose kernels have no other, and stored on a GPU: half the memory and the traffic. */
  readonly products?: Products;
  /** File of quantised weights (quantized-weights.ts) to be used instead of those matrices of the checkpoint. */
  readonly quantized?: string;
  /** Refuses a model whose weights in memory would be larger. */
  readonly maxBytes?: number;
}

export interface LanguageModel {
  readonly config: DecoderConfig;
  readonly tokenizer: Tokenizer;
  /** null: the checkpoint has no chat template. */
  readonly renderChat: ChatRenderer | null;
  /** Ids that end a text: of config.json, generation_config.json and the tokenizer's eos token. */
  readonly stopTokenIds: ReadonlySet<number>;
  /** Weights as they lie in memory. */
  readonly sizeBytes: number;
  forward(input: ForwardInput): Promise<ForwardResult>;
  close(): Promise<void>;
}

/** The model's weights do not fit the memory that was granted; the message has both numbers. */
export class ModelTooLargeError extends Error {
  override readonly name = "ModelTooLargeError";
}

/**
 * Opens a checkpoint folder in Hugging Face layout. The weights are read in place from its safetensors files.
 *
 * @throws ModelConfigError, SafetensorsError, TokenizerError, ChatTemplateError or ModelTooLargeError
 */
export async function openModel(folder: string, options: ModelOptions = {}): Promise<LanguageModel> {
  const config = parseDecoderConfig(await readJson(folder, "config.json", true));
  const generation = (await readJson(folder, "generation_config.json", false)) ?? {};
  const quantized = options.quantized ? await openQuantizedWeights(config, options.quantized) : null;
  const weights = await checkWeights(config, await openCheckpointTensors(folder), quantized);
  const products = options.products ?? (options.device === "cuda" ? "stored" : "float32");
  const sizeBytes = residentBytes(config, weights.parameterBytes, products, quantized);
  if (options.maxBytes !== undefined && sizeBytes > options.maxBytes) {
    throw new ModelTooLargeError(
      `the model needs ${sizeBytes} bytes of memory for its weights; ${options.maxBytes} are granted`,
    );
  }
  const { tokenizer, config: tokenizerConfig } = await readTokenizer(folder);
  const renderChat = await readChatTemplate(folder, tokenizerConfig);
  const graph = buildInferenceGraph(config, weights, products);
  const session = await openSession(graph, {
    externalFolder: weights.folder,
    ...(options.device ? { device: options.device } : {}),
    ...(options.threads ? { threads: options.threads } : {}),
  });
  const stops = [...config.eosTokenIds, ...tokenIds(generation as Record<string, unknown>, "eos_token_id")];
  const eos = tokenizerConfig.eos_token as string | { content?: string } | undefined;
  const eosId = tokenizer.idOf(typeof eos === "string" ? eos : (eos?.content ?? ""));
  if (eosId !== null) stops.push(eosId);
  return {
    config,
    tokenizer,
    renderChat,
    stopTokenIds: new Set(stops),
    sizeBytes,
    forward: (input) => runForward(session, config, input),
    close: () => session.close(),
  };
}

/** Every weight in the type of the products or as integers; the embedding stays as stored besides (mapped from the file). */
function residentBytes(
  config: DecoderConfig,
  storedBytes: number,
  products: Products,
  quantized: QuantizedWeights | null,
): number {
  const embedding = config.vocabulary * config.dModel;
  const count = parameterCount(config);
  const inProducts = config.tiedEmbeddings ? count : count - embedding;
  const { weights = 0, residentBytes = 0 } = quantized ?? {};
  const stored = storedBytes / count;
  const bytesOfOne = products === "stored" ? stored : 4;
  return Math.ceil(bytesOfOne * (inProducts - weights) + residentBytes + embedding * stored);
}

async function readJson(folder: string, name: string, required: boolean): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(folder, name), "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) throw new ModelConfigError(`${name} is not JSON: ${error.message}`);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    if (required) throw new ModelConfigError(`the file ${name} is missing in ${folder}`);
    return null;
  }
}
