/**
 * Shared libraries whose functions are looked up one at a time, on first use. Deno.dlopen compiles a fast path for each
 * symbol it is given, which takes 0.1 to 0.4 ms, more than 1 ms and 1 MB for the first; a function that is called a few
 * times is had for 0.05 ms this way.
 */
import { cString } from "./c_string.ts";

/** The declarations of a library's functions, each beside its C prototype. */
export type Declarations = Readonly<Record<string, Deno.ForeignFunction>>;

/** A library's functions, to be called as declared. */
export type Functions<D extends Declarations> = Deno.StaticForeignLibraryInterface<D>;

/** glibc's dlfcn.h. */
const RTLD_NOW = 2;

/**
 * No fast path is compiled for a function that gives a structure. One that holds a pointer alone is given as the
 * pointer itself would be, on x86_64 (System V ABI, 3.2.3) and on aarch64 (AAPCS64, 6.9).
 */
const DLSYM = {
  dlsym: { parameters: ["pointer", "buffer"], result: { struct: ["pointer"] } }, // void *dlsym(void *handle, const char *symbol)
} as const satisfies Deno.ForeignLibraryInterface;

const LOADER = {
  dlopen: { parameters: ["buffer", "i32"], result: "pointer" }, // void *dlopen(const char *path, int flags)
  dlerror: { parameters: [], result: "pointer" }, // char *dlerror(void)
} as const satisfies Declarations;

type Dlsym = (handle: Deno.PointerValue, symbol: Uint8Array<ArrayBuffer>) => Deno.PointerValue;

let loader: { readonly dlsym: Dlsym } & Functions<typeof LOADER> | undefined;

/**
 * Opens a library, by name from the system's folders or by an absolute path.
 *
 * @throws {Error} with the loader's own words when it cannot be opened
 */
export function openLibrary<D extends Declarations>(path: string, declarations: D): Functions<D> {
  const { dlsym, dlopen, dlerror } = loader ??= openLoader();
  const handle = dlopen(cString(path), RTLD_NOW);
  if (handle) return lookUp(dlsym, handle, declarations);
  const reason = dlerror();
  throw new Error(reason ? new Deno.UnsafePointerView(reason).getCString() : `${path}: no reason given`);
}

function openLoader(): NonNullable<typeof loader> {
  // Before glibc 2.34 the loader's functions were in a library of their own; since then it leads to libc.
  const { symbols } = Deno.dlopen("libdl.so.2", DLSYM);
  const dlsym: Dlsym = (handle, symbol) => {
    const { buffer, byteOffset } = symbols.dlsym(handle, symbol);
    return Deno.UnsafePointer.create(new DataView(buffer, byteOffset).getBigUint64(0, true));
  };
  return Object.assign(lookUp(dlsym, null, LOADER), { dlsym });
}

/** @param handle null looks in the whole program */
function lookUp<D extends Declarations>(
  dlsym: Dlsym,
  handle: Deno.PointerValue,
  declarations: D,
): Functions<D> {
  const functions = {};
  for (const [name, declaration] of Object.entries(declarations)) {
    const get = () => {
      const address = dlsym(handle, cString(name)) as Deno.PointerValue<typeof declaration>;
      if (!address) throw new Error(`Cannot find function ${JSON.stringify(name)} in its library`);
      const pointer = new Deno.UnsafeFnPointer(address, declaration);
      const value = pointer.call.bind(pointer);
      Object.defineProperty(functions, name, { enumerable: true, value });
      return value;
    };
    Object.defineProperty(functions, name, { enumerable: true, configurable: true, get });
  }
  return functions as Functions<D>;
}
