// Reverse mode: one walk over the nodes, last to first. Gradients are further nodes of the same graph.

import { isFloat } from "../onnx/dtype.ts";
import type { Graph, Node, Value } from "../onnx/graph.ts";
import { formatShape, type Shape, sameShape } from "../onnx/shape.ts";
import { add } from "../ops/elementwise.ts";
import { reduceSum } from "../ops/reduce.ts";
import { fill, reshape } from "../ops/shape.ts";
import { type Rule, type RuleInput, type RuleTable, zerosLike } from "./rule.ts";
import { rules } from "./rules.ts";

/**
 * d loss / d w for each w of `wrt`, with the shape and dtype of w.
 *
 * The loss has one element. `wrt` are any values of the loss's graph (or of the graphs around it): inputs, weights, or results in the middle.
 * A w on which the loss does not depend gets zeros. Another table of rules can be given, say to let a gradient pass straight
 * through a step function. Throws TypeError, naming the node, where the loss depends on w
 * through an operator without a rule, through If or through Loop.
 */
export function gradients(loss: Value, wrt: readonly Value[], table: RuleTable = rules): Value[] {
  if (!isFloat(loss.dtype) || loss.shape.some((dim) => dim !== 1)) {
    throw new TypeError(`the loss must be one float, got ${loss.name}: ${loss.dtype} ${formatShape(loss.shape)}`);
  }
  for (const w of wrt) {
    if (!isFloat(w.dtype)) throw new TypeError(`${w.name} is ${w.dtype}: only floats have gradients`);
    if (!loss.graph.sees(w))
      throw new TypeError(`${w.name} belongs to graph ${w.graph.name}, the loss to ${loss.graph.name}`);
  }
  return loss.graph.within(() => loss.graph.scope("gradient", () => walk(loss, wrt, table)));
}

function walk(loss: Value, wrt: readonly Value[], table: RuleTable): Value[] {
  const nodes = visibleNodes(loss.graph);
  const dependent = dependents(nodes, wrt);
  const gradient = new Map<Value, Value>([[loss, fill(loss.graph, loss.shape, 1, loss.dtype)]]);

  for (const node of nodes.reverse()) {
    const dy = node.outputs.map((output) => gradient.get(output) ?? null);
    if (dy.every((g) => g === null) || !readsOf(node).some((value) => dependent.has(value))) continue;
    const makers = ruleOf(node, table)(ruleInput(node, dy));
    node.inputs.forEach((input, i) => {
      const make = input && dependent.has(input) && isFloat(input.dtype) ? makers[i] : null;
      if (!input || !make) return;
      const contribution = loss.graph.scope(node.name, () => sumTo(make(), input.shape));
      if (!sameShape(contribution.shape, input.shape) || contribution.dtype !== input.dtype) {
        throw new TypeError(
          `${node.name}: the ${node.opType} rule gave ${contribution.dtype} ${formatShape(contribution.shape)} ` +
            `for input ${i}, which is ${input.dtype} ${formatShape(input.shape)}`,
        );
      }
      const before = gradient.get(input);
      gradient.set(input, before ? add(before, contribution) : contribution);
    });
  }
  return wrt.map((w) => gradient.get(w) ?? zerosLike(w));
}

function ruleOf(node: Node, table: RuleTable): Rule {
  const refuse = (why: string) => new TypeError(`${node.name}: ${why}`);
  if (hasSubgraph(node)) throw refuse("gradients do not pass through control flow; take them inside the body");
  const rule = node.domain === "" ? table[node.opType] : undefined;
  if (!rule) throw refuse(`there is no gradient rule for ${node.opType}`);
  return rule;
}

function ruleInput(node: Node, dy: readonly (Value | null)[]): RuleInput {
  const [first, ...rest] = dy;
  return { x: node.inputs as Value[], y: node.outputs, dy: [first ?? zerosLike(node.outputs[0]!), ...rest], node };
}

/** Nodes of the graphs around, outermost first, then the graph's own: an order in which every node follows what it reads. */
function visibleNodes(graph: Graph): Node[] {
  return [...(graph.parent ? visibleNodes(graph.parent) : []), ...graph.nodes];
}

function dependents(nodes: readonly Node[], wrt: readonly Value[]): Set<Value> {
  const found = new Set(wrt);
  for (const node of nodes) {
    if (readsOf(node).some((value) => found.has(value))) for (const output of node.outputs) found.add(output);
  }
  return found;
}

/** Inputs of the node, and what its subgraphs capture. */
function readsOf(node: Node): Value[] {
  const captured = Object.values(node.attributes).flatMap((attribute) =>
    "graph" in attribute ? attribute.graph.nodes.flatMap(readsOf) : [],
  );
  return [...node.inputs.filter((input) => input !== null), ...captured];
}

function hasSubgraph(node: Node): boolean {
  return Object.values(node.attributes).some((attribute) => "graph" in attribute);
}

/** Undoes broadcasting: sums over the axes that the shape lacks or has with size 1. */
function sumTo(x: Value, shape: Shape): Value {
  const extra = x.shape.length - shape.length;
  const axes = x.shape.flatMap((dim, i) => (i < extra || (shape[i - extra] === 1 && dim !== 1) ? [i] : []));
  if (axes.length === 0 || extra < 0) return x;
  return reshape(reduceSum(x, axes, { keepDims: true }), shape);
}
