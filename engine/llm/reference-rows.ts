// Rows of numbers in float64: what the reference forward is written in.

export type Row = Float64Array;
export type Weights = (name: string) => Promise<Float32Array>;

export async function linear(weights: Weights, name: string, hasBias: boolean, rows: Row[]): Promise<Row[]> {
  const weight = await weights(`${name}.weight`);
  const bias = hasBias ? await weights(`${name}.bias`) : null;
  return rows.map((row) => product(row, weight, bias));
}

/** W x + b with W [out, in]. */
export function product(x: Row, weight: Float32Array, bias: Float32Array | null): Row {
  return Float64Array.from({ length: weight.length / x.length }, (_, o) => {
    let sum = bias ? bias[o]! : 0;
    for (let i = 0, w = o * x.length; i < x.length; i++, w++) sum += weight[w]! * x[i]!;
    return sum;
  });
}

export function rmsNorm(x: Row, weight: Float32Array, epsilon: number): Row {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + epsilon);
  return x.map((value, i) => value * scale * weight[i]!);
}

/** Equal pieces of a row. */
export function byHead(row: Row, width: number): Row[] {
  return Array.from({ length: row.length / width }, (_, h) => row.slice(h * width, (h + 1) * width));
}

export function dot(a: Row, b: Row): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function add(a: Row[], b: Row[]): Row[] {
  return a.map((row, t) => row.map((value, i) => value + b[t]![i]!));
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}
