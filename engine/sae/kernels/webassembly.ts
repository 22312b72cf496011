// The part of the WebAssembly API that is used here: TypeScript keeps its types among those of the browser.

export interface Memory {
  readonly buffer: ArrayBuffer;
}

export interface Module {
  readonly kind?: "module";
}

interface WebAssemblyApi {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => Memory;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => Module;
  readonly Instance: new (
    module: Module,
    imports: { memory: Readonly<Record<string, Memory>> },
  ) => { readonly exports: Readonly<Record<string, (...values: number[]) => void>> };
}

export const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
