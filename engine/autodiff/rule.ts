// What a rule is: for one node y = f(x…), how the gradient of the loss by y becomes the gradients by each x.

import type { Attributes, Node, Value } from "../onnx/graph.ts";
import { fill } from "../ops/shape.ts";

export interface RuleInput {
  /** Inputs of the node. An absent optional input is never asked about; the type leaves it out. */
  readonly x: readonly Value[];
  /** Outputs of the node. */
  readonly y: readonly Value[];
  /** Gradients by the outputs; `dy[0]` is always there, others may be null when nothing depends on them. */
  readonly dy: readonly [Value, ...(Value | null)[]];
  readonly node: Node;
}

/**
 * One entry per input: how to make its gradient, or null where none exists (indices, conditions). Only the entries that
 * are wanted are called. A gradient may have the broadcast shape; the walk sums it back to the input's.
 */
export type Rule = (io: RuleInput) => readonly ((() => Value) | null)[];

/** By operator type. */
export type RuleTable = Readonly<Record<string, Rule>>;

/** A rule for one input and one output. */
export function unaryRule(gradient: (dy: Value, x: Value, y: Value, attributes: Attributes) => Value): Rule {
  return ({ x, y, dy, node }) => [() => gradient(dy[0], x[0]!, y[0]!, node.attributes)];
}

export function intAttribute(node: Node, name: string): number {
  const attribute = node.attributes[name];
  if (!attribute || !("int" in attribute)) throw new TypeError(`${node.name}: expected an integer attribute ${name}`);
  return attribute.int;
}

export function floatAttribute(node: Node, name: string): number {
  const attribute = node.attributes[name];
  if (!attribute || !("float" in attribute)) throw new TypeError(`${node.name}: expected a float attribute ${name}`);
  return attribute.float;
}

/** The numbers of an input that must be a constant: axes, counts. */
export function constantNumbers(node: Node, value: Value): number[] {
  const data = value.graph.constantData(value);
  if (!data) throw new TypeError(`${node.name}: its gradient needs ${value.name} to be a constant`);
  return Array.from(data, Number);
}

export function zerosLike(x: Value): Value {
  return fill(x.graph, x.shape, 0, x.dtype);
}
