import { names } from "./functions.ts";
import { shOk, until } from "./sh.ts";

const MODPROBE = "/run/modprobe";
const HELPER = "/proc/sys/kernel/modprobe";

/** Has the kernel itself find modules, which it looks for where the node has none, until disposed of. */
export async function letKernelLoadModules(): Promise<Disposable> {
  const before = Deno.readTextFileSync(HELPER);
  await shOk(`printf '#!/bin/sh\\nexec modprobe --dirname "%s" "$@"\\n' "$MODULES" >${MODPROBE}`);
  await shOk(`chmod 755 ${MODPROBE} && echo ${MODPROBE} >${HELPER}`);
  return { [Symbol.dispose]: () => Deno.writeTextFileSync(HELPER, before) };
}

/** Modules of the RDMA subsystem that may be loaded, those that use others first. */
const RDMA_MODULES =
  "rdma_sim ib_sim rdma_rxe ib_ipoib rdma_ucm rdma_cm iw_cm ib_cm ib_umad slow_client ib_uverbs ib_core";

/**
 * Unloads the RDMA subsystem and loads it again, which counts devices from 0 again; all are made anew, those in pods too.
 *
 * @param meanwhile done while it is unloaded
 */
export async function reloadRdma(meanwhile: () => void = () => {}): Promise<void> {
  await shOk("grep -q ' /sys/kernel/config ' /proc/mounts && umount /sys/kernel/config; true");
  const isLoaded = () => names("/sys/module").includes("ib_core");
  for (const name of RDMA_MODULES.split(" ")) {
    if (names("/sys/module").includes(name)) await shOk(`rmmod ${name}`);
  }
  await until("ib_core is unloaded", () => !isLoaded());
  meanwhile();
  await shOk('modprobe --dirname "$MODULES" --all ib_core slow_client ib_uverbs rdma_ucm rdma_sim');
  await shOk("mount -t configfs configfs /sys/kernel/config");
}
