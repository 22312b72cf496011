// Shapes with symbolic sizes. A string names a size that is known only at run time; equal names are equal sizes.
// Derived sizes get canonical names ("P+T", "S*T"), so that two ways of building the same size agree.

export type Dim = number | string;
export type Shape = readonly Dim[];

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** −1 is the last axis. Throws RangeError when there is no such axis. */
export function resolveAxis(axis: number, rank: number): number {
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= rank) {
    throw new RangeError(`axis ${axis} does not exist in a tensor of rank ${rank}`);
  }
  return resolved;
}

/** Axes resolved, sorted, without repeats. */
export function resolveAxes(axes: readonly number[], rank: number): number[] {
  return [...new Set(axes.map((axis) => resolveAxis(axis, rank)))].sort((a, b) => a - b);
}

/**
 * Shape of an elementwise result: aligned at the right, 1 stretches to anything.
 * A symbol meets itself or 1 only: whether "S" equals "T", or 7, cannot be known while building.
 */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[i - rank + a.length] ?? 1;
    const right = b[i - rank + b.length] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new RangeError(`${formatShape(a)} and ${formatShape(b)} do not broadcast: ${left} against ${right}`);
  });
}

/** The name of a sum of sizes: "P+T", 5, "3+T". */
export function sumOfDims(dims: readonly Dim[]): Dim {
  const terms = dims.flatMap((dim) => (typeof dim === "number" ? [dim] : splitTop(dim, "+").map(parseDim)));
  const number = terms.reduce<number>((sum, term) => sum + (typeof term === "number" ? term : 0), 0);
  const symbols = terms.filter((term) => typeof term === "string").sort();
  if (symbols.length === 0) return number;
  return [...symbols, ...(number === 0 ? [] : [String(number)])].join("+");
}

/** The name of a product of sizes: "S*T", 12, "4*T". */
export function productOfDims(dims: readonly Dim[]): Dim {
  const factors = dims.flatMap((dim) => (typeof dim === "number" ? [dim] : splitTop(dim, "*").map(parseDim)));
  const number = factors.reduce<number>((product, factor) => product * (typeof factor === "number" ? factor : 1), 1);
  const symbols = factors.filter((factor) => typeof factor === "string").sort();
  if (symbols.length === 0 || number === 0) return number;
  const factorNames = symbols.length + (number === 1 ? 0 : 1) === 1 ? symbols : symbols.map(parenthesised);
  return [...(number === 1 ? [] : [String(number)]), ...factorNames].join("*");
}

/** How a derived name is made of others: "P+T" is a sum of P and T. Null for a name that stands for itself. */
export function derivation(symbol: string): { operator: "+" | "*"; parts: Dim[] } | null {
  for (const operator of ["+", "*"] as const) {
    const parts = splitTop(symbol, operator);
    if (parts.length > 1) return { operator, parts: parts.map(parseDim) };
  }
  return null;
}

function parseDim(text: string): Dim {
  if (/^-?\d+$/.test(text)) return Number(text);
  // "(P+T)" is P+T, but "(P+T)*(S+1)" only looks as if it were in parentheses.
  const whole = splitTop(text, "+").length === 1 && splitTop(text, "*").length === 1;
  return whole && text.startsWith("(") ? text.slice(1, -1) : text;
}

function parenthesised(name: string): string {
  return splitTop(name, "+").length > 1 ? `(${name})` : name;
}

/** Splits at the operator outside parentheses, and only when the whole name is such a chain. */
function splitTop(name: string, operator: "+" | "*"): string[] {
  const parts = [""];
  let depth = 0;
  for (const character of name) {
    if (character === "(") depth++;
    if (character === ")") depth--;
    if (character === operator && depth === 0) parts.push("");
    else parts[parts.length - 1] += character;
    // "P+2*T" is a sum: its product form is one opaque factor.
    if (operator === "*" && character === "+" && depth === 0) return [name];
  }
  return parts;
}
