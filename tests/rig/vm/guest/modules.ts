import { shOk } from "./sh.ts";

const MODPROBE = "/run/modprobe";
const HELPER = "/proc/sys/kernel/modprobe";

/** Has the kernel itself find modules, which it looks for where the node has none, until disposed of. */
export async function letKernelLoadModules(): Promise<Disposable> {
  const before = Deno.readTextFileSync(HELPER);
  await shOk(`printf '#!/bin/sh\\nexec modprobe --dirname "%s" "$@"\\n' "$MODULES" >${MODPROBE}`);
  await shOk(`chmod 755 ${MODPROBE} && echo ${MODPROBE} >${HELPER}`);
  return { [Symbol.dispose]: () => Deno.writeTextFileSync(HELPER, before) };
}
