// What a reference kernel is, and how it reads its node.

import type { Node } from "../onnx/graph.ts";
import type { NdArray } from "./array.ts";

/** Inputs of the node as arrays (absent optional ones are undefined) → its outputs. */
export type Kernel = (x: readonly NdArray[], node: Node) => NdArray[];

export function int(node: Node, name: string): number {
  const attribute = node.attributes[name];
  if (attribute && "int" in attribute) return attribute.int;
  throw new TypeError(`${node.name}: no integer attribute ${name}`);
}

export function ints(node: Node, name: string): readonly number[] {
  const attribute = node.attributes[name];
  if (attribute && "ints" in attribute) return attribute.ints;
  throw new TypeError(`${node.name}: no integers attribute ${name}`);
}

export function float(node: Node, name: string): number {
  const attribute = node.attributes[name];
  if (attribute && "float" in attribute) return attribute.float;
  throw new TypeError(`${node.name}: no float attribute ${name}`);
}

export function string(node: Node, name: string): string {
  const attribute = node.attributes[name];
  if (attribute && "string" in attribute) return attribute.string;
  throw new TypeError(`${node.name}: no string attribute ${name}`);
}
