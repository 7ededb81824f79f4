/**
 * Shared libraries whose functions are created on first use. Deno.dlopen compiles a fast path for each
 * declared function, which takes 0.1 to 0.4 ms, and for the first one more than 1 ms and 1 MB. So it is asked
 * for addresses only; a function that is called a few times then costs 0.01 ms.
 */
import { messageOf } from "./errno.ts";

/** The declarations of a library's functions, each beside its C prototype, and of what is only asked for its address. */
export type Declarations = Readonly<Record<string, Deno.ForeignFunction | typeof ADDRESS>>;

/** A library's functions, to be called as declared, and addresses. */
export type Functions<D extends Declarations> = Deno.StaticForeignLibraryInterface<D>;

/** For a symbol that is declared as a pointer, Deno returns its address. */
export const ADDRESS = { type: "pointer", optional: true } as const satisfies Deno.ForeignStatic;

/**
 * Opens a library: by name from the system's directories, or by an absolute path.
 *
 * @throws {Error} with the loader's message when it cannot be opened
 */
export function openLibrary<D extends Declarations>(path: string, declarations: D): Functions<D> {
  const addresses = addressesIn(path, Object.keys(declarations));
  const functions = Object.entries(declarations).map(([name, declaration]) => {
    const address = addresses[name] ?? null;
    return [name, "type" in declaration ? address : functionAt(address, name, declaration)];
  });
  return Object.fromEntries(functions);
}

function functionAt(
  address: Deno.PointerValue,
  name: string,
  declaration: Deno.ForeignFunction,
): (...args: never[]) => unknown {
  let pointer: Deno.UnsafeFnPointer<Deno.ForeignFunction> | undefined;
  return (...args) => {
    if (!address) throw new Error(`Cannot find function ${JSON.stringify(name)} in its library`);
    pointer ??= new Deno.UnsafeFnPointer(address as Deno.PointerObject<Deno.ForeignFunction>, declaration);
    return pointer.call(...args);
  };
}

function addressesIn(path: string, names: readonly string[]): Record<string, Deno.PointerValue> {
  try {
    return Deno.dlopen(path, Object.fromEntries(names.map((name) => [name, ADDRESS]))).symbols;
  } catch (cause) {
    throw new Error(messageOf(cause).replace(/^(Could not open library: )+/, ""), { cause });
  }
}
