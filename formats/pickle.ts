// A machine for a small part of Python's pickle language: enough for dictionaries of numbers, texts and whatever a
// caller builds from the few names that it knows. It calls nothing, imports nothing and looks nothing up.

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PickleValue[]
  | PickleDict
  | PickleGlobal
  | object;

/** `dict` and `collections.OrderedDict` alike; keys keep their order. */
export class PickleDict extends Map<string | number, PickleValue> {}

/** A name such as `torch.FloatStorage`, not what it stands for. */
export class PickleGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** The stream holds something that is not read; the message names the operation or the global, and its byte. */
export class PickleError extends Error {
  override readonly name = "PickleError";
}

export interface PickleNames {
  /** Whether a global may be named at all. */
  knows(name: string): boolean;
  /** What calling a known global gives. Throws PickleError for arguments that make no sense. */
  call(name: string, args: readonly PickleValue[]): PickleValue;
  persistent(id: PickleValue): PickleValue;
}

export interface PickleLimits {
  readonly bytes: number;
  readonly operations: number;
  readonly stack: number;
  readonly memo: number;
  readonly textBytes: number;
}

export const DEFAULT_PICKLE_LIMITS: PickleLimits = {
  bytes: 16 * 2 ** 20,
  operations: 4_000_000,
  stack: 200_000,
  memo: 1_000_000,
  textBytes: 2 ** 20,
};

/**
 * The value that a pickle (protocols 2 to 5) describes. Known are constants, numbers, text, bytes, tuples, lists,
 * dictionaries, the memo, persistent ids, and calls of the globals that `names` knows. Everything else is refused by its name.
 *
 * @throws PickleError
 */
export function readPickle(
  bytes: Uint8Array,
  names: PickleNames,
  limits: PickleLimits = DEFAULT_PICKLE_LIMITS,
): PickleValue {
  if (bytes.byteLength > limits.bytes) {
    throw new PickleError(`the pickle has ${bytes.byteLength} bytes; at most ${limits.bytes} are read`);
  }
  return new Machine(bytes, names, limits).run();
}

const MARK = Symbol("mark");
type Slot = PickleValue | typeof MARK;

class Machine {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #names: PickleNames;
  readonly #limits: PickleLimits;
  readonly #memo = new Map<number, PickleValue>();
  #stack: Slot[] = [];
  #at = 0;
  #operationAt = 0;

  constructor(bytes: Uint8Array, names: PickleNames, limits: PickleLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#names = names;
    this.#limits = limits;
  }

  run(): PickleValue {
    for (let count = 0; ; count++) {
      if (count >= this.#limits.operations) throw this.#fault(`more than ${this.#limits.operations} operations`);
      this.#operationAt = this.#at;
      const code = this.#take(1).getUint8(0);
      if (code === STOP) return this.#end();
      const operation = operations[code];
      if (!operation) {
        const name = opcodeNames[code] ?? "an unknown operation";
        throw this.#fault(`${name} (0x${code.toString(16).padStart(2, "0")}) is not read`);
      }
      operation(this.#hands);
      if (this.#stack.length > this.#limits.stack)
        throw this.#fault(`more than ${this.#limits.stack} values on the stack`);
    }
  }

  #end(): PickleValue {
    const value = this.#pop();
    if (this.#stack.length > 0) throw this.#fault(`${this.#stack.length} values are left on the stack`);
    return value;
  }

  /** What an operation may do to the machine. */
  readonly #hands: Hands = {
    take: (length) => this.#take(length),
    bytes: (length) => {
      if (length > this.#limits.textBytes)
        throw this.#fault(`a text of ${length} bytes; at most ${this.#limits.textBytes} are read`);
      const view = this.#take(length);
      return new Uint8Array(view.buffer, view.byteOffset, length);
    },
    line: () => this.#line(),
    push: (value) => this.#stack.push(value),
    pop: () => this.#pop(),
    top: () => this.#top(),
    mark: () => this.#stack.push(MARK),
    toMark: () => this.#toMark(),
    remember: (key) => {
      const index = key ?? this.#memo.size;
      if (index >= this.#limits.memo) throw this.#fault(`memo ${index}; at most ${this.#limits.memo} are kept`);
      this.#memo.set(index, this.#top());
    },
    recall: (key) => {
      const value = this.#memo.get(key);
      if (value === undefined) throw this.#fault(`memo ${key} is empty`);
      return value;
    },
    named: (name) => {
      if (!this.#names.knows(name)) throw this.#fault(`the global ${name} is not known`);
      return new PickleGlobal(name);
    },
    call: (callee, args) => {
      if (!(callee instanceof PickleGlobal)) throw this.#fault("a call of something that is not a global");
      return this.#located(() => this.#names.call(callee.name, args));
    },
    persistent: (id) => this.#located(() => this.#names.persistent(id)),
    fault: (what) => this.#fault(what),
  };

  #take(length: number): DataView {
    if (this.#at + length > this.#bytes.byteLength) throw this.#fault("the stream ends in the middle of an operation");
    const view = new DataView(this.#view.buffer, this.#view.byteOffset + this.#at, length);
    this.#at += length;
    return view;
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > 1000) throw this.#fault("a name that does not end");
    const line = new TextDecoder().decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return line;
  }

  #pop(): PickleValue {
    const slot = this.#stack.pop();
    if (slot === undefined || slot === MARK) throw this.#fault("a value is missing on the stack");
    return slot as PickleValue;
  }

  #top(): PickleValue {
    const slot = this.#stack.at(-1);
    if (slot === undefined || slot === MARK) throw this.#fault("a value is missing on the stack");
    return slot as PickleValue;
  }

  #toMark(): PickleValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw this.#fault("a mark is missing on the stack");
    return this.#stack.splice(mark).slice(1) as PickleValue[];
  }

  #located<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof PickleError) throw this.#fault(error.message);
      throw error;
    }
  }

  #fault(what: string): PickleError {
    return new PickleError(`pickle byte ${this.#operationAt}: ${what}`);
  }
}

interface Hands {
  take(length: number): DataView;
  bytes(length: number): Uint8Array;
  line(): string;
  push(value: PickleValue): void;
  pop(): PickleValue;
  top(): PickleValue;
  mark(): void;
  toMark(): PickleValue[];
  remember(key?: number): void;
  recall(key: number): PickleValue;
  named(name: string): PickleGlobal;
  call(callee: PickleValue, args: readonly PickleValue[]): PickleValue;
  persistent(id: PickleValue): PickleValue;
  fault(what: string): PickleError;
}

type Operation = (hands: Hands) => void;

const STOP = 0x2e;

const operations: Readonly<Record<number, Operation>> = {
  128: (m) => {
    const version = m.take(1).getUint8(0);
    if (version < 2 || version > 5) throw m.fault(`protocol ${version} is not read, 2 to 5 are`);
  },
  149: (m) => void m.take(8), // FRAME: how far a reader may read ahead
  40: (m) => m.mark(),
  78: (m) => m.push(null),
  136: (m) => m.push(true),
  137: (m) => m.push(false),
  75: (m) => m.push(m.take(1).getUint8(0)),
  77: (m) => m.push(m.take(2).getUint16(0, true)),
  74: (m) => m.push(m.take(4).getInt32(0, true)),
  138: (m) => m.push(longOf(m.bytes(m.take(1).getUint8(0)))),
  71: (m) => m.push(m.take(8).getFloat64(0, false)),
  88: (m) => m.push(textOf(m, m.take(4).getUint32(0, true))),
  140: (m) => m.push(textOf(m, m.take(1).getUint8(0))),
  66: (m) => m.push(m.bytes(m.take(4).getUint32(0, true)).slice()),
  67: (m) => m.push(m.bytes(m.take(1).getUint8(0)).slice()),
  41: (m) => m.push([]),
  133: (m) => m.push([m.pop()]),
  134: (m) => m.push(last(m, 2)),
  135: (m) => m.push(last(m, 3)),
  116: (m) => m.push(m.toMark()),
  93: (m) => m.push([]),
  97: (m) => {
    const item = m.pop();
    listOf(m).push(item);
  },
  101: (m) => {
    const items = m.toMark();
    const list = listOf(m);
    for (const item of items) list.push(item);
  },
  125: (m) => m.push(new PickleDict()),
  115: (m) => {
    const pair = last(m, 2);
    setItems(m, pair);
  },
  117: (m) => setItems(m, m.toMark()),
  113: (m) => m.remember(m.take(1).getUint8(0)),
  114: (m) => m.remember(m.take(4).getUint32(0, true)),
  148: (m) => m.remember(),
  104: (m) => m.push(m.recall(m.take(1).getUint8(0))),
  106: (m) => m.push(m.recall(m.take(4).getUint32(0, true))),
  99: (m) => {
    const module = m.line();
    m.push(m.named(`${module}.${m.line()}`));
  },
  147: (m) => {
    const [module, name] = last(m, 2);
    if (typeof module !== "string" || typeof name !== "string") throw m.fault("a global whose name is no text");
    m.push(m.named(`${module}.${name}`));
  },
  82: (m) => {
    const args = m.pop();
    if (!Array.isArray(args)) throw m.fault("a call without a tuple of arguments");
    m.push(m.call(m.pop(), args));
  },
  81: (m) => m.push(m.persistent(m.pop())),
  // BUILD sets attributes. On a dictionary they are notes (a state_dict's `_metadata`); on anything else they could change what it is.
  98: (m) => {
    const state = m.pop();
    if (!(m.top() instanceof PickleDict && state instanceof PickleDict)) {
      throw m.fault("BUILD (0x62) on something that is not a dictionary is not read");
    }
  },
};

function last(m: Hands, count: number): PickleValue[] {
  return Array.from({ length: count }, () => m.pop()).reverse();
}

function listOf(m: Hands): PickleValue[] {
  const list = m.top();
  if (!Array.isArray(list)) throw m.fault("an item is added to something that is not a list");
  return list;
}

function setItems(m: Hands, items: readonly PickleValue[]): void {
  const dict = m.top();
  if (!(dict instanceof PickleDict)) throw m.fault("an item is set in something that is not a dictionary");
  if (items.length % 2 !== 0) throw m.fault("a key without a value");
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i];
    if (typeof key !== "string" && typeof key !== "number") throw m.fault("a key that is neither text nor a number");
    if (dict.has(key)) throw m.fault(`the key ${JSON.stringify(key).slice(0, 200)} is set twice`);
    dict.set(key, items[i + 1]!);
  }
}

function textOf(m: Hands, length: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(m.bytes(length));
  } catch (error) {
    if (error instanceof PickleError) throw error;
    throw m.fault("a text that is not UTF-8");
  }
}

/** Little-endian two's complement of any length; a bigint when a number could not hold it. */
function longOf(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (const [i, byte] of bytes.entries()) value |= BigInt(byte) << BigInt(8 * i);
  value = BigInt.asIntN(8 * bytes.length, value);
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

/** Of the operations that are not read, so that a refusal can name them. */
const opcodeNames: Readonly<Record<number, string>> = {
  ...{ 48: "POP", 49: "POP_MARK", 50: "DUP", 70: "FLOAT", 73: "INT", 76: "LONG", 80: "PERSID" },
  ...{ 83: "STRING", 84: "BINSTRING", 85: "SHORT_BINSTRING", 86: "UNICODE", 100: "DICT", 103: "GET" },
  ...{ 105: "INST", 108: "LIST", 111: "OBJ", 112: "PUT", 129: "NEWOBJ", 130: "EXT1", 131: "EXT2", 132: "EXT4" },
  ...{ 139: "LONG4", 141: "BINUNICODE8", 142: "BINBYTES8", 143: "EMPTY_SET", 144: "ADDITEMS", 145: "FROZENSET" },
  ...{ 146: "NEWOBJ_EX", 150: "BYTEARRAY8", 151: "NEXT_BUFFER", 152: "READONLY_BUFFER" },
};
