// Control flow. Bodies are built by callbacks; inside, operators go into the body, and values made outside may be used
// as they are (they are captured, not copied).

import type { Dim, Graph, Shape, Value } from "../onnx/graph.ts";
import { formatShape, sameShape } from "../onnx/shape.ts";
import { requireDType } from "./emit.ts";

/**
 * Runs one of two branches. The branches return equally many values, of equal dtypes and shapes; where a size differs
 * between them, `shapes` says what to call it.
 */
export function ifElse(
  condition: Value,
  thenBuild: () => readonly Value[],
  elseBuild: () => readonly Value[],
  options: { shapes?: readonly Shape[] } = {},
): Value[] {
  requireDType("If", condition, ["bool"]);
  const home = condition.graph.current;
  const name = home.nextName("If");
  const [thenGraph, elseGraph] = [branch(home, "then", thenBuild), branch(home, "else", elseBuild)];
  if (thenGraph.outputs.length !== elseGraph.outputs.length) {
    throw new RangeError(
      `${name}: the branches return ${thenGraph.outputs.length} and ${elseGraph.outputs.length} values`,
    );
  }
  const results = thenGraph.outputs.map((a, i) => {
    const b = elseGraph.outputs[i]!;
    if (a.dtype !== b.dtype)
      throw new TypeError(`${name}: result ${i} is ${a.dtype} in one branch, ${b.dtype} in the other`);
    const shape = options.shapes?.[i] ?? a.shape;
    if (!options.shapes && !sameShape(a.shape, b.shape)) {
      throw new RangeError(
        `${name}: result ${i} is ${formatShape(a.shape)} in one branch, ${formatShape(b.shape)} in the other`,
      );
    }
    return { dtype: a.dtype, shape };
  });
  return home.node("If", [condition], results, {
    attributes: { then_branch: { graph: thenGraph }, else_branch: { graph: elseGraph } },
  });
}

function branch(home: Graph, name: string, build: () => readonly Value[]): Graph {
  const body = home.subgraph(name);
  body.within(() => {
    build().forEach((value, i) => {
      body.output(value, `${body.name}/result${i}`);
    });
  });
  return body;
}

export interface LoopOptions {
  /** How many times; a number, or an int64 scalar. */
  readonly count: number | Value;
  /** Values carried from one round to the next; their dtypes and shapes stay as they are. */
  readonly state: readonly Value[];
  /**
   * One round. `scan` values of all rounds come out stacked along a new first axis (of no rounds the runtime knows no
   * sizes: symbolic ones come out as 0). `condition` false ends the loop.
   */
  readonly body: (
    iteration: Value,
    state: readonly Value[],
  ) => { state: readonly Value[]; scan?: readonly Value[]; condition?: Value };
  /** The size of the stacked axis: needed when the count is a value or a condition can end the loop. */
  readonly rounds?: Dim;
}

export function loop(options: LoopOptions): { state: Value[]; scan: Value[] } {
  const anchor = options.state[0] ?? options.count;
  if (typeof anchor === "number")
    throw new RangeError("a loop without state needs its count as a value, to know its graph");
  const graph = anchor.graph.current;
  const name = graph.nextName("Loop");
  const count = typeof options.count === "number" ? graph.constant(options.count, "int64", []) : options.count;
  requireDType("Loop", count, ["int64"]);
  const body = graph.subgraph("loop");
  let stacked: readonly Value[] = [];
  body.within(() => {
    const iteration = body.input(`${body.name}/iteration`, "int64", []);
    const condition = body.input(`${body.name}/condition`, "bool", []);
    const carried = options.state.map((value, i) => body.input(`${body.name}/state${i}`, value.dtype, value.shape));
    const round = options.body(iteration, carried);
    requireSameState(name, options.state, round.state);
    body.output(round.condition ?? condition, `${body.name}/continue`);
    round.state.forEach((value, i) => {
      body.output(value, `${body.name}/next${i}`);
    });
    stacked = round.scan ?? [];
    stacked.forEach((value, i) => {
      body.output(value, `${body.name}/scan${i}`);
    });
  });
  const rounds = options.rounds ?? (typeof options.count === "number" ? options.count : undefined);
  if (rounds === undefined && stacked.length > 0)
    throw new RangeError(`${name}: stacked values need the number of rounds`);
  const results = [
    ...options.state.map(({ dtype, shape }) => ({ dtype, shape })),
    ...stacked.map(({ dtype, shape }) => ({ dtype, shape: [rounds!, ...shape] })),
  ];
  const attributes = { body: { graph: body } };
  const values = graph.node("Loop", [count, graph.constant(true, "bool", []), ...options.state], results, {
    attributes,
  });
  return { state: values.slice(0, options.state.length), scan: values.slice(options.state.length) };
}

function requireSameState(name: string, before: readonly Value[], after: readonly Value[]): void {
  if (before.length !== after.length) {
    throw new RangeError(`${name}: the body takes ${before.length} values and returns ${after.length}`);
  }
  before.forEach((a, i) => {
    const b = after[i]!;
    if (a.dtype === b.dtype && sameShape(a.shape, b.shape)) return;
    throw new RangeError(
      `${name}: state ${i} (${a.name}) is ${a.dtype} ${formatShape(a.shape)}, the body returns ${b.dtype} ${formatShape(b.shape)}`,
    );
  });
}
