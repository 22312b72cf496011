// Graph → ModelProto.

import { type DType, dtypes, type TypedArray } from "./dtype.ts";
import type { Attribute, Graph, Initializer, Node, Value } from "./graph.ts";
import { attributeTypes, dataLocation, encodeModel } from "./messages.ts";
import type { Shape } from "./shape.ts";

/** IR version 10 is the one that goes with opsets 21 and 22. */
const irVersion = 10;

/** The bytes of an ONNX file with this graph. Throws TypeError for a subgraph, RangeError for a graph without outputs. */
export function modelBytes(graph: Graph): Uint8Array {
  if (graph.parent) throw new TypeError(`graph ${graph.name} is a subgraph: serialise ${graph.root.name}`);
  if (graph.outputs.length === 0) throw new RangeError(`graph ${graph.name} has no outputs`);
  const domains = new Set<string>();
  collectDomains(graph, domains);
  return encodeModel({
    irVersion,
    producerName: "qwen-scope",
    graph: graphProto(graph),
    opsetImport: [
      { domain: "", version: graph.opset },
      ...[...domains].filter((domain) => domain !== "").map((domain) => ({ domain, version: 1 })),
    ],
  });
}

function collectDomains(graph: Graph, domains: Set<string>): void {
  for (const node of graph.nodes) {
    domains.add(node.domain);
    for (const attribute of Object.values(node.attributes)) {
      if ("graph" in attribute) collectDomains(attribute.graph, domains);
    }
  }
}

function graphProto(graph: Graph): Record<string, unknown> {
  return {
    name: graph.name,
    node: graph.nodes.map(nodeProto),
    initializer: graph.initializers.map(tensorProto),
    input: graph.inputs.map(valueInfoProto),
    output: graph.outputs.map(valueInfoProto),
  };
}

function nodeProto(node: Node): Record<string, unknown> {
  return {
    input: node.inputs.map((input) => input?.name ?? ""),
    output: node.outputs.map((output) => output.name),
    name: node.name,
    opType: node.opType,
    domain: node.domain,
    attribute: Object.entries(node.attributes).map(([name, attribute]) => attributeProto(name, attribute)),
  };
}

function attributeProto(name: string, attribute: Attribute): Record<string, unknown> {
  if ("int" in attribute) return { name, i: attribute.int, type: attributeTypes.i };
  if ("ints" in attribute) return { name, ints: attribute.ints, type: attributeTypes.ints };
  if ("float" in attribute) return { name, f: attribute.float, type: attributeTypes.f };
  if ("floats" in attribute) return { name, floats: attribute.floats, type: attributeTypes.floats };
  if ("dtype" in attribute) return { name, i: dtypes[attribute.dtype].code, type: attributeTypes.i };
  if ("string" in attribute) return { name, s: Buffer.from(attribute.string, "utf8"), type: attributeTypes.s };
  return { name, g: graphProto(attribute.graph), type: attributeTypes.g };
}

function valueInfoProto(value: Value): Record<string, unknown> {
  return {
    name: value.name,
    type: { tensorType: { elemType: dtypes[value.dtype].code, shape: shapeProto(value.shape) } },
  };
}

function shapeProto(shape: Shape): Record<string, unknown> {
  return { dim: shape.map((dim) => (typeof dim === "number" ? { dimValue: dim } : { dimParam: dim })) };
}

function tensorProto(initializer: Initializer): Record<string, unknown> {
  const { name, dtype, shape } = initializer.value;
  const head = { name, dims: shape, dataType: dtypes[dtype].code };
  if ("data" in initializer) return { ...head, rawData: rawBytes(initializer.data, dtype) };
  const { file, offset, lengthBytes } = initializer.external;
  const entries = { location: file, offset: String(offset), length: String(lengthBytes) };
  return {
    ...head,
    dataLocation: dataLocation.external,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
  };
}

/** ONNX stores numbers little endian; so does every machine that ONNX Runtime's Node package supports. */
function rawBytes(data: TypedArray, dtype: DType): Uint8Array {
  if (data.BYTES_PER_ELEMENT !== dtypes[dtype].bytes) throw new TypeError(`${dtype} data in ${data.constructor.name}`);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
