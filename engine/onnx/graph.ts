// The graph builder. A graph is a list of nodes in the order in which they were made, so every node comes after what
// it reads: serialising writes the list, and a backward walk reads it from the end.

import { type DType, dtypes, type Numbers, type TypedArray, toTypedArray } from "./dtype.ts";
import { type Dim, formatShape, type Shape } from "./shape.ts";

export type { DType, Numbers, TypedArray } from "./dtype.ts";
export type { Dim, Shape } from "./shape.ts";

/** A tensor that will exist when the graph runs: no numbers, only a name, a type and a shape. */
export interface Value {
  readonly graph: Graph;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string }
  | { readonly dtype: DType }
  | { readonly graph: Graph };

export type Attributes = Readonly<Record<string, Attribute>>;

export interface Node {
  readonly opType: string;
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
}

/** Where the bytes of an external initializer lie: a file name relative to the session's external folder. */
export interface FileRange {
  readonly file: string;
  readonly offset: number;
  readonly lengthBytes: number;
}

export type Initializer = { readonly value: Value } & (
  | { readonly data: TypedArray }
  | { readonly external: FileRange }
);

interface NodeOptions {
  readonly attributes?: Attributes;
  readonly domain?: string;
  readonly name?: string;
}

/**
 * Opset 21 has every operator used here. ONNX Runtime 1.30 fuses the same forms in 21, 22 and 23 (norms, GELU, SiLU,
 * transposed products: tests/engine/runtime/fusion.test.ts); the older one is known to more execution providers.
 */
const defaultOpset = 21;

export class Graph {
  readonly name: string;
  readonly opset: number;
  readonly parent: Graph | null;
  readonly root: Graph;
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  readonly nodes: Node[] = [];
  readonly initializers: Initializer[] = [];

  // Kept by the root for the whole model: names are unique across subgraphs, which ONNX's scoping demands of shadowed
  // names and people reading an error demand of all.
  readonly #names = new Set<string>();
  readonly #counters = new Map<string, number>();
  readonly #prefixes: string[] = [];
  #current: Graph = this;

  readonly #values = new Map<string, Value>();
  readonly #constants = new Map<Value, TypedArray>();
  readonly #producers = new Map<Value, Node>();
  readonly #symbols = new Map<string, { value: Value; axis: number }>();

  constructor(name: string, options: { opset?: number; parent?: Graph } = {}) {
    this.name = name;
    this.parent = options.parent ?? null;
    this.root = this.parent?.root ?? this;
    this.opset = this.parent?.opset ?? options.opset ?? defaultOpset;
  }

  /** The graph into which operators are emitted now: the innermost `within`. */
  get current(): Graph {
    return this.root.#current;
  }

  input(name: string, dtype: DType, shape: Shape): Value {
    const value = this.#declare(name, dtype, shape);
    this.inputs.push(value);
    return value;
  }

  /** A small tensor stored in the model itself. Shape defaults to [] for one number and [n] for a list. */
  constant(data: Numbers, dtype: DType, shape?: Shape, name?: string): Value {
    const array = toTypedArray(data, dtype);
    const dims = shape ?? (typeof data === "object" ? [array.length] : []);
    const label = name ?? this.nextName("constant");
    const expected = staticCount(dims, label);
    if (array.length !== expected) {
      throw new RangeError(`${label}: shape ${formatShape(dims)} needs ${expected} numbers, got ${array.length}`);
    }
    const value = this.#declare(label, dtype, dims);
    this.initializers.push({ value, data: array });
    this.#constants.set(value, array);
    return value;
  }

  /** A tensor whose bytes stay in a file next to the model (little endian, row-major): nothing is copied into the model. */
  external(name: string, dtype: DType, shape: Shape, where: FileRange): Value {
    const bytes = staticCount(shape, name) * dtypes[dtype].bytes;
    if (bytes !== where.lengthBytes) {
      throw new RangeError(
        `${name}: ${dtype} ${formatShape(shape)} is ${bytes} bytes, but ${where.file} gives ${where.lengthBytes}`,
      );
    }
    const value = this.#declare(name, dtype, shape);
    this.initializers.push({ value, external: where });
    return value;
  }

  /**
   * Appends a node. Low level: engine/ops wraps every operator and knows its result shapes.
   * Inputs may come from this graph or from the graphs around it (captured by a subgraph); null is an absent optional input.
   */
  node(
    opType: string,
    inputs: readonly (Value | null)[],
    outputs: readonly { dtype: DType; shape: Shape }[],
    options: NodeOptions = {},
  ): Value[] {
    const name = options.name === undefined ? this.#fresh(opType) : this.#claim(this.#prefixed(options.name));
    for (const input of inputs) {
      if (input !== null && !this.sees(input)) {
        throw new TypeError(`${name}: input ${input.name} belongs to graph ${input.graph.name}, not to ${this.name}`);
      }
    }
    const values = outputs.map(({ dtype, shape }, i) =>
      this.#declare(outputs.length === 1 ? `${name}:out` : `${name}:out${i}`, dtype, shape),
    );
    const { attributes = {}, domain = "" } = options;
    const node: Node = { opType, domain, name, inputs, outputs: values, attributes };
    this.nodes.push(node);
    for (const value of values) this.#producers.set(value, node);
    return values;
  }

  /** Makes the value an output of the graph under this name. */
  output(value: Value, name: string): void {
    if (!this.sees(value)) throw new TypeError(`output ${name}: ${value.name} belongs to graph ${value.graph.name}`);
    const label = this.#declare(name, value.dtype, value.shape);
    const node: Node = {
      opType: "Identity",
      domain: "",
      name: this.#fresh("output"),
      inputs: [value],
      outputs: [label],
      attributes: {},
    };
    this.nodes.push(node);
    this.#producers.set(label, node);
    this.outputs.push(label);
  }

  /** A body for If or Loop: it sees the values of this graph. See ops/control.ts for the way to build one. */
  subgraph(name: string): Graph {
    return new Graph(this.#fresh(name), { parent: this });
  }

  /** Operators called inside `build` are emitted into this graph, even when all they read is captured from outside. */
  within<T>(build: () => T): T {
    const outer = this.root.#current;
    this.root.#current = this;
    try {
      return build();
    } finally {
      this.root.#current = outer;
    }
  }

  /** Names made inside `build` start with the prefix: "layer3/attention/MatMul". Scopes nest. */
  scope<T>(prefix: string, build: () => T): T {
    this.root.#prefixes.push(prefix);
    try {
      return build();
    } finally {
      this.root.#prefixes.pop();
    }
  }

  /** The name that the next node of this type will get: for messages of checks that run before the node exists. */
  nextName(opType: string): string {
    const base = this.#prefixed(opType);
    let count = this.root.#counters.get(base) ?? 0;
    const numbered = () => (count === 0 ? base : `${base}_${count}`);
    while (this.root.#names.has(numbered())) count++;
    this.root.#counters.set(base, count);
    return numbered();
  }

  producer(value: Value): Node | undefined {
    return value.graph.#producers.get(value);
  }

  /** True when the value was made in this graph or in one around it. */
  sees(value: Value): boolean {
    for (let graph: Graph | null = this; graph; graph = graph.parent) {
      if (graph.#values.get(value.name) === value) return true;
    }
    return false;
  }

  /** The numbers of an inline constant, or undefined for anything else. */
  constantData(value: Value): TypedArray | undefined {
    return value.graph.#constants.get(value);
  }

  /** Some value of this graph, or of one around it, that has the symbolic size on some axis. */
  whereIs(symbol: string): { value: Value; axis: number } | undefined {
    return this.#symbols.get(symbol) ?? this.parent?.whereIs(symbol);
  }

  #declare(name: string, dtype: DType, shape: Shape): Value {
    if (!(dtype in dtypes)) throw new TypeError(`${name}: unknown dtype ${dtype}`);
    const value: Value = Object.freeze({ graph: this, name: this.#claim(name), dtype, shape: checkShape(name, shape) });
    this.#values.set(name, value);
    shape.forEach((dim, axis) => {
      if (typeof dim === "string" && !this.whereIs(dim)) this.#symbols.set(dim, { value, axis });
    });
    return value;
  }

  #prefixed(name: string): string {
    return [...this.root.#prefixes, name].join("/");
  }

  #fresh(kind: string): string {
    return this.#claim(this.nextName(kind));
  }

  #claim(name: string): string {
    if (name === "") throw new RangeError("a name in a graph must not be empty: ONNX reads it as an absent input");
    if (this.root.#names.has(name)) throw new RangeError(`${name}: the name is taken in graph ${this.root.name}`);
    this.root.#names.add(name);
    return name;
  }
}

function checkShape(name: string, shape: Shape): Shape {
  const bad = shape.find((dim: Dim) => (typeof dim === "string" ? dim === "" : !Number.isInteger(dim) || dim < 0));
  if (bad !== undefined) throw new RangeError(`${name}: ${formatShape(shape)} is not a shape`);
  return Object.freeze([...shape]);
}

function staticCount(shape: Shape, name: string): number {
  return shape.reduce<number>((product, dim) => {
    if (typeof dim === "string")
      throw new RangeError(`${name}: a stored tensor needs known sizes, got ${formatShape(shape)}`);
    return product * dim;
  }, 1);
}
