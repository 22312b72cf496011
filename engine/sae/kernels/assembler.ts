// WebAssembly functions written as TypeScript expressions. A kernel is assembled when it is first needed, in under a
// millisecond: nothing is compiled at install, and what runs is what is written here.

export type Kind = "i32" | "f32" | "f64" | "f32x4" | "i32x4";

/** Code that leaves one value of its kind on the stack. */
export interface Expr<K extends Kind = Kind> {
  readonly kind: K;
  readonly code: readonly number[];
}

export interface Local<K extends Kind = Kind> extends Expr<K> {
  readonly index: number;
}

const valueTypes: Readonly<Record<Kind, number>> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, f32x4: 0x7b, i32x4: 0x7b };

const binary = {
  add: { i32: [0x6a], f32: [0x92], f64: [0xa0], f32x4: simd(0xe4), i32x4: simd(0xae) },
  sub: { i32: [0x6b], f32: [0x93], f64: [0xa1], f32x4: simd(0xe5), i32x4: simd(0xb1) },
  mul: { i32: [0x6c], f32: [0x94], f64: [0xa2], f32x4: simd(0xe6) },
  div: { f32: [0x95], f64: [0xa3], f32x4: simd(0xe7) },
  /** The second where the first is less, else the first: one machine instruction, unlike `max`, which minds NaN. */
  larger: { f32: [0x97], f32x4: simd(0xeb) },
  and: { i32: [0x71] },
  shiftRight: { i32: [0x76] },
} as const;

const unary = {
  abs: { f32: [0x8b], f32x4: simd(0xe0) },
  sqrt: { f32: [0x91], f64: [0x9f], f32x4: simd(0xe3) },
  nearest: { f32: [0x90], f32x4: simd(0x6a) },
} as const;

type Binary = keyof typeof binary;
type Unary = keyof typeof unary;

function apply<K extends Kind>(op: Binary, a: Expr<K>, b: Expr<K>): Expr<K> {
  const code = (binary[op] as Partial<Record<Kind, readonly number[]>>)[a.kind];
  if (!code) throw new TypeError(`${op} has no instruction for ${a.kind}`);
  return { kind: a.kind, code: [...a.code, ...b.code, ...code] };
}

function applyUnary<K extends Kind>(op: Unary, a: Expr<K>): Expr<K> {
  const code = (unary[op] as Partial<Record<Kind, readonly number[]>>)[a.kind];
  if (!code) throw new TypeError(`${op} has no instruction for ${a.kind}`);
  return { kind: a.kind, code: [...a.code, ...code] };
}

export const add = <K extends Kind>(a: Expr<K>, b: Expr<K>): Expr<K> => apply("add", a, b);
export const sub = <K extends Kind>(a: Expr<K>, b: Expr<K>): Expr<K> => apply("sub", a, b);
export const mul = <K extends Kind>(a: Expr<K>, b: Expr<K>): Expr<K> => apply("mul", a, b);
export const div = <K extends Kind>(a: Expr<K>, b: Expr<K>): Expr<K> => apply("div", a, b);
export const larger = <K extends Kind>(a: Expr<K>, b: Expr<K>): Expr<K> => apply("larger", a, b);
export const and = (a: Expr<"i32">, b: Expr<"i32">): Expr<"i32"> => apply("and", a, b);
export const shiftRight = (a: Expr<"i32">, b: Expr<"i32">): Expr<"i32"> => apply("shiftRight", a, b);
export const abs = <K extends Kind>(a: Expr<K>): Expr<K> => applyUnary("abs", a);
export const sqrt = <K extends Kind>(a: Expr<K>): Expr<K> => applyUnary("sqrt", a);
export const nearest = <K extends Kind>(a: Expr<K>): Expr<K> => applyUnary("nearest", a);

const convert =
  <From extends Kind, To extends Kind>(kind: To, code: readonly number[]) =>
  (a: Expr<From>): Expr<To> => ({ kind, code: [...a.code, ...code] });

export const toF64 = convert<"f32", "f64">("f64", [0xbb]);
export const toF32 = convert<"f64", "f32">("f32", [0xb6]);
export const splat = convert<"f32", "f32x4">("f32x4", simd(0x13));
export const splatI32 = convert<"i32", "i32x4">("i32x4", simd(0x11));
export const lanesToF32 = convert<"i32x4", "f32x4">("f32x4", simd(0xfa));
/** Each lane to the nearest integer towards zero. */
export const toLanesI32 = convert<"f32x4", "i32x4">("i32x4", simd(0xf8));
/** Bit i of the result is the sign of lane i. */
export const signBits = convert<"i32x4", "i32">("i32", simd(0xa4));
export const anyBit = convert<"i32x4", "i32">("i32", simd(0x53));
export const trailingZeros = convert<"i32", "i32">("i32", [0x68]);
export const isZero = convert<"i32", "i32">("i32", [0x45]);

const compare =
  <K extends Kind, To extends Kind>(kind: To, code: readonly number[]) =>
  (a: Expr<K>, b: Expr<K>): Expr<To> => ({ kind, code: [...a.code, ...b.code, ...code] });

export const lessThan = compare<"i32", "i32">("i32", [0x49]);
export const atLeast = compare<"i32", "i32">("i32", [0x4f]);
export const equal = compare<"i32", "i32">("i32", [0x46]);
export const moreThanF64 = compare<"f64", "i32">("i32", [0x64]);
/** −1 (all bits) in the lanes where it holds, else 0. */
export const lanesAtLeast = compare<"f32x4", "i32x4">("i32x4", simd(0x46));
export const lanesEqual = compare<"f32x4", "i32x4">("i32x4", simd(0x41));
export const lanesAtLeastI32 = compare<"i32x4", "i32x4">("i32x4", simd(0x3f));

/** a · b + c, in one rounding where the processor has the instruction (vectors), in two for single numbers. */
export function madd<K extends "f32" | "f32x4">(a: Expr<K>, b: Expr<K>, c: Expr<K>): Expr<K> {
  if (a.kind === "f32") return add(mul(a, b), c);
  return { kind: a.kind, code: [...a.code, ...b.code, ...c.code, ...simd(0x105)] };
}

export const choose = <K extends Kind>(yes: Expr<K>, no: Expr<K>, condition: Expr<"i32">): Expr<K> => ({
  kind: yes.kind,
  code: [...yes.code, ...no.code, ...condition.code, 0x1b],
});

/** Lane by lane `yes` where the mask is −1, `no` where it is 0. */
export const chooseLanes = <K extends "f32x4" | "i32x4">(yes: Expr<K>, no: Expr<K>, mask: Expr<"i32x4">): Expr<K> => ({
  kind: yes.kind,
  code: [...yes.code, ...no.code, ...mask.code, ...simd(0x52)],
});

/** Sixteen numbers in 0 … 255 as bytes, in order. */
export const packBytes = (v: readonly [Expr<"i32x4">, Expr<"i32x4">, Expr<"i32x4">, Expr<"i32x4">]): Expr<"i32x4"> => {
  const halves = (a: Expr<"i32x4">, b: Expr<"i32x4">) => [...a.code, ...b.code, ...simd(0x85)];
  return { kind: "i32x4", code: [...halves(v[0], v[1]), ...halves(v[2], v[3]), ...simd(0x66)] };
};

export const lane = (a: Expr<"f32x4">, index: number): Expr<"f32"> => ({
  kind: "f32",
  code: [...a.code, ...simd(0x1f), index],
});

export const laneI32 = (a: Expr<"i32x4">, index: number): Expr<"i32"> => ({
  kind: "i32",
  code: [...a.code, ...simd(0x1b), index],
});

export const i32 = (value: number): Expr<"i32"> => ({ kind: "i32", code: [0x41, ...signedLeb(value)] });

export function f32(value: number): Expr<"f32"> {
  return { kind: "f32", code: [0x43, ...new Uint8Array(Float32Array.of(value).buffer)] };
}

export const zeroOf = <K extends "f32" | "f32x4">(kind: K): Expr<K> =>
  (kind === "f32" ? f32(0) : { kind, code: [...simd(0x0c), ...new Array<number>(16).fill(0)] }) as Expr<K>;

const loads: Readonly<Record<Kind, readonly number[]>> = {
  i32: [0x28],
  f32: [0x2a],
  f64: [0x2b],
  f32x4: simd(0x00),
  i32x4: simd(0x00),
};
const stores: Readonly<Record<Kind, readonly number[]>> = {
  i32: [0x36],
  f32: [0x38],
  f64: [0x39],
  f32x4: simd(0x0b),
  i32x4: simd(0x0b),
};

/** Addresses are bytes from the start of memory number `memory`. */
export const load = <K extends Kind>(kind: K, memory: number, address: Expr<"i32">, offset = 0): Expr<K> => ({
  kind,
  code: [...address.code, ...loads[kind], ...memoryArgument(memory, offset)],
});

export const loadU8 = (memory: number, address: Expr<"i32">): Expr<"i32"> => ({
  kind: "i32",
  code: [...address.code, 0x2d, ...memoryArgument(memory, 0)],
});

export const loadSplat = (memory: number, address: Expr<"i32">): Expr<"f32x4"> => ({
  kind: "f32x4",
  code: [...address.code, ...simd(0x09), ...memoryArgument(memory, 0)],
});

/** The body of one function: statements in order. */
export class Body {
  readonly code: number[] = [];
  readonly params: Kind[] = [];
  readonly locals: Kind[] = [];

  param<K extends Kind>(kind: K): Local<K> {
    this.params.push(kind);
    return localAt(kind, this.params.length - 1);
  }

  /** Declare all parameters first: locals are numbered after them. */
  local<K extends Kind>(kind: K, from?: Expr<K>): Local<K> {
    this.locals.push(kind);
    const local = localAt(kind, this.params.length + this.locals.length - 1);
    if (from) this.set(local, from);
    return local;
  }

  set<K extends Kind>(local: Local<K>, value: Expr<K>): void {
    this.code.push(...value.code, 0x21, ...leb(local.index));
  }

  store(memory: number, address: Expr<"i32">, value: Expr, offset = 0): void {
    this.code.push(...address.code, ...value.code, ...stores[value.kind], ...memoryArgument(memory, offset));
  }

  storeU8(memory: number, address: Expr<"i32">, value: Expr<"i32">): void {
    this.code.push(...address.code, ...value.code, 0x3a, ...memoryArgument(memory, 0));
  }

  if(condition: Expr<"i32">, then: () => void, otherwise?: () => void): void {
    this.code.push(...condition.code, 0x04, 0x40);
    then();
    if (otherwise) {
      this.code.push(0x05);
      otherwise();
    }
    this.code.push(0x0b);
  }

  /** for (counter = as it is; counter < end; counter += step) */
  upTo(counter: Local<"i32">, end: Expr<"i32">, step: number, body: () => void): void {
    this.while(lessThan(counter, end), () => {
      body();
      this.set(counter, add(counter, i32(step)));
    });
  }

  while(condition: Expr<"i32">, body: () => void): void {
    // block { loop { if (!condition) break; body; continue } }
    this.code.push(0x02, 0x40, 0x03, 0x40, ...condition.code, 0x45, 0x0d, 1);
    body();
    this.code.push(0x0c, 0, 0x0b, 0x0b);
  }
}

function localAt<K extends Kind>(kind: K, index: number): Local<K> {
  return { kind, index, code: [0x20, ...leb(index)] };
}

export interface KernelSource {
  readonly name: string;
  readonly write: (body: Body) => void;
}

export interface MemoryImport {
  readonly name: string;
  readonly shared: boolean;
}

/** A module that imports `memories` (from "memory") in this order and exports every kernel by its name. */
export function assemble(memories: readonly MemoryImport[], kernels: readonly KernelSource[]): Uint8Array<ArrayBuffer> {
  const bodies = kernels.map(({ write }) => {
    const body = new Body();
    write(body);
    return body;
  });
  const limits = ({ shared }: MemoryImport) => (shared ? [0x03, ...leb(0), ...leb(65_536)] : [0x00, ...leb(0)]);
  const code = bodies.map((body) => {
    const locals = body.locals.flatMap((kind) => [1, valueTypes[kind]]);
    const bytes = [...leb(body.locals.length), ...locals, ...body.code, 0x0b];
    return [...leb(bytes.length), ...bytes];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      bodies.map(({ params }) => [0x60, ...leb(params.length), ...params.map((kind) => valueTypes[kind]), 0]),
    ),
    ...section(
      2,
      memories.map((memory) => [...text("memory"), ...text(memory.name), 0x02, ...limits(memory)]),
    ),
    ...section(
      3,
      bodies.map((_, index) => leb(index)),
    ),
    ...section(
      7,
      kernels.map(({ name }, index) => [...text(name), 0x00, ...leb(index)]),
    ),
    ...section(10, code),
  ]);
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  const bytes = [...leb(entries.length), ...entries.flat()];
  return [id, ...leb(bytes.length), ...bytes];
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...leb(bytes.length), ...bytes];
}

function simd(opcode: number): number[] {
  return [0xfd, ...leb(opcode)];
}

/** Alignment is only a hint: 0 promises nothing. Bit 6 says that a memory's number follows. */
function memoryArgument(memory: number, offset: number): number[] {
  return [0x40, ...leb(memory), ...leb(offset)];
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 128 : low);
  } while (rest > 0);
  return bytes;
}

function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 127;
    rest >>= 7;
    const done = (rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0);
    bytes.push(done ? low : low | 128);
    if (done) return bytes;
  }
}
