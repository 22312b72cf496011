// Runs a graph with plain float64 loops: the oracle for operators, gradients and whole models, and their documentation.
// It also holds the builder to its word: every result must have the shape that was worked out while building.

import type { Dim, Graph, Node, Value } from "../onnx/graph.ts";
import { derivation, formatShape } from "../onnx/shape.ts";
import { type NdArray, ndArray } from "./array.ts";
import { elementwise } from "./elementwise.ts";
import type { Kernel } from "./kernel.ts";
import { moving } from "./moving.ts";
import { numeric } from "./numeric.ts";
import { recurrent } from "./recurrent.ts";

const kernels: Readonly<Record<string, Kernel>> = { ...elementwise, ...numeric, ...moving };
/** Of the runtime's own domain. */
const contributed: Readonly<Record<string, Kernel>> = { ...recurrent };

/**
 * Outputs of the graph for these inputs, by name. External initializers are passed like inputs.
 * Throws RangeError when a result's shape is not the declared one, TypeError for an operator without a reference.
 */
export function evaluate(graph: Graph, feeds: Readonly<Record<string, NdArray>>): Record<string, NdArray> {
  const run: Run = { values: new Map(), sizes: new Map() };
  for (const value of graph.inputs) store(run, value, feed(feeds, value.name));
  evaluateBody(graph, feeds, run);
  return Object.fromEntries(graph.outputs.map((value) => [value.name, load(run, value)]));
}

interface Run {
  readonly values: Map<Value, NdArray>;
  readonly sizes: Map<string, number>;
}

function evaluateBody(graph: Graph, feeds: Readonly<Record<string, NdArray>>, run: Run): NdArray[] {
  for (const initializer of graph.initializers) {
    const { value } = initializer;
    const array =
      "data" in initializer
        ? ndArray(value.shape as number[], Array.from(initializer.data, Number))
        : feed(feeds, value.name);
    store(run, value, array);
  }
  for (const node of graph.nodes) {
    const results = evaluateNode(node, feeds, run);
    node.outputs.forEach((value, i) => {
      store(run, value, results[i]!);
    });
  }
  return graph.outputs.map((value) => load(run, value));
}

function evaluateNode(node: Node, feeds: Readonly<Record<string, NdArray>>, run: Run): NdArray[] {
  const inputs = node.inputs.map((input) => (input ? load(run, input) : undefined)) as NdArray[];
  if (node.opType === "If") {
    return evaluateBody(bodyOf(node, inputs[0]!.data[0] ? "then_branch" : "else_branch"), feeds, run);
  }
  if (node.opType === "Loop") return evaluateLoop(node, inputs, feeds, run);
  const kernel = (node.domain === "" ? kernels : contributed)[node.opType];
  if (!kernel) throw new TypeError(`${node.name}: there is no reference for ${node.opType}`);
  return kernel(inputs, node);
}

function evaluateLoop(node: Node, inputs: NdArray[], feeds: Readonly<Record<string, NdArray>>, run: Run): NdArray[] {
  const body = bodyOf(node, "body");
  const [count, goOn, ...initial] = inputs as [NdArray, NdArray, ...NdArray[]];
  let state = initial;
  let condition = goOn;
  const stacks: NdArray[][] = body.outputs.slice(1 + initial.length).map(() => []);
  for (let i = 0; i < count.data[0]! && condition.data[0]; i++) {
    [ndArray([], [i]), condition, ...state].forEach((array, place) => {
      store(run, body.inputs[place]!, array);
    });
    const results = evaluateBody(body, feeds, run);
    condition = results[0]!;
    state = results.slice(1, 1 + initial.length);
    results.slice(1 + initial.length).forEach((array, place) => {
      stacks[place]!.push(array);
    });
  }
  return [...state, ...stacks.map((arrays, place) => stack(arrays, node.outputs[initial.length + place]!, run))];
}

/** All rounds along a new first axis; without rounds nothing, of the declared shape as far as it is known. */
function stack(arrays: readonly NdArray[], declared: Value, run: Run): NdArray {
  const known = declared.shape.slice(1).map((dim) => sizeOf(run, dim) ?? 0);
  const numbers = arrays.flatMap((array) => Array.from(array.data));
  return ndArray([arrays.length, ...(arrays[0]?.shape ?? known)], numbers);
}

function bodyOf(node: Node, name: string): Graph {
  const attribute = node.attributes[name];
  if (attribute && "graph" in attribute) return attribute.graph;
  throw new TypeError(`${node.name}: no graph attribute ${name}`);
}

function feed(feeds: Readonly<Record<string, NdArray>>, name: string): NdArray {
  const array = feeds[name];
  if (!array) throw new RangeError(`${name} is not fed`);
  return array;
}

function load(run: Run, value: Value): NdArray {
  const array = run.values.get(value);
  if (!array) throw new RangeError(`${value.name} is used before it is made`);
  return array;
}

/** What a symbolic size has turned out to be; "P+T" and the like follow from their parts. */
function sizeOf(run: Run, dim: Dim): number | undefined {
  if (typeof dim === "number") return dim;
  if (run.sizes.has(dim)) return run.sizes.get(dim);
  const derived = derivation(dim);
  const parts = derived?.parts.map((part) => sizeOf(run, part));
  if (!derived || !parts || parts.includes(undefined)) return undefined;
  return (parts as number[]).reduce((a, b) => (derived.operator === "+" ? a + b : a * b));
}

function store(run: Run, value: Value, array: NdArray): void {
  const agrees =
    value.shape.length === array.shape.length &&
    value.shape.every((dim, i) => {
      const size = array.shape[i]!;
      if (typeof dim === "number") return dim === size;
      const known = sizeOf(run, dim);
      if (known === undefined) run.sizes.set(dim, size);
      return known === undefined || known === size;
    });
  if (!agrees) {
    const sizes = [...run.sizes].map(([symbol, size]) => `${symbol} = ${size}`).join(", ");
    throw new RangeError(
      `${value.name}: declared ${formatShape(value.shape)}, came out as ${formatShape(array.shape)}; ${sizes}`,
    );
  }
  run.values.set(value, array);
}
