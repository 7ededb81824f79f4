import { names } from "./functions.ts";
import { sh, shOk, until } from "./sh.ts";

const MODPROBE = "/run/modprobe";
const HELPER = "/proc/sys/kernel/modprobe";

/** Has the kernel itself find modules, which it looks for where the node has none, until disposed of. */
export async function letKernelLoadModules(): Promise<Disposable> {
  const before = Deno.readTextFileSync(HELPER);
  await shOk(`printf '#!/bin/sh\\nexec modprobe --dirname "%s" "$@"\\n' "$MODULES" >${MODPROBE}`);
  await shOk(`chmod 755 ${MODPROBE} && echo ${MODPROBE} >${HELPER}`);
  return { [Symbol.dispose]: () => Deno.writeTextFileSync(HELPER, before) };
}

/** Unloads a module if it is loaded, and before it those that use it. @throws {Error} if it stays in use for 30 s */
export async function unloadModule(name: string): Promise<void> {
  for (const user of names(`/sys/module/${name}/holders`)) await unloadModule(user);
  if (!names("/sys/module").includes(name)) return;
  await until(`module ${name} is unloaded`, async () => (await sh(`rmmod ${name}`)).code === 0);
}

/** Unloads the RDMA subsystem and loads it again, which counts devices from 0 again. */
export async function reloadRdma(meanwhile: () => void = () => {}): Promise<void> {
  await shOk("grep -q ' /sys/kernel/config ' /proc/mounts && umount /sys/kernel/config; true");
  await unloadModule("ib_core");
  meanwhile();
  await shOk('modprobe --dirname "$MODULES" --all ib_core rdma_sim ib_uverbs rdma_ucm');
  await shOk("mount -t configfs configfs /sys/kernel/config");
}
