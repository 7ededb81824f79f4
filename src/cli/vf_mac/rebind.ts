/** Rebinds the drivers of virtual functions, and waits for the devices that they create. */
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { SyscallError } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";
import type { Assignment } from "./plan.ts";
import { nameVf, type VfStatus } from "../../node/functions.ts";

const POLL_MS = 50;
const BIND_RETRY_MS = 1000;
const ATTEMPTS = 2;
const RDMA_POLL_MS = 100;

/**
 * Unbinds and binds the drivers of virtual functions, all at once, and waits until netdevs and RDMA devices are there. A
 * driver that does not start is tried again every second, one function after the other. One that starts but creates no
 * devices is rebound once more. Each that fails gets its failure, which says in which state it is left.
 *
 * @param timeoutMs how long to wait in each of two attempts
 */
export async function rebindAll(
  kernel: NodeKernel,
  assignments: readonly Assignment[],
  timeoutMs: number,
): Promise<void> {
  /** The reasons that drivers do not start. */
  const causes = new Map<Assignment, SyscallError | undefined>();
  const isBound = ({ vf }: Assignment) => kernel.getBusDevice(vf.deviceId)?.driver !== undefined;
  const bind = async (one: Assignment) => {
    causes.set(one, await refusalOf(kernel.bindDriver(one.vf.deviceId, one.vf.driver)));
  };
  const rebind = async (one: Assignment) => {
    const refusal = isBound(one) ? await refusalOf(kernel.unbindDriver(one.vf.deviceId)) : undefined;
    if (refusal) one.failure = refusal;
    else await bind(one);
  };
  let pending = assignments;
  for (let count = 1; count <= ATTEMPTS && pending.length > 0; count++) {
    for (const one of pending) delete one.failure;
    await inParallel(pending.map(rebind));
    pending = pending.filter(({ failure }) => !failure);
    for (let waitedMs = 0;; waitedMs += POLL_MS) {
      if (waitedMs > 0 && waitedMs % BIND_RETRY_MS === 0) {
        for (const one of pending) if (!isBound(one)) await bind(one);
      }
      if (waitedMs >= timeoutMs || pending.every((one) => listMissing(kernel, one).length === 0)) break;
      await kernel.delay(POLL_MS);
    }
    for (const one of pending) {
      const missing = listMissing(kernel, one);
      if (missing.length > 0) one.failure = explainMissing(one.vf, missing, causes.get(one), timeoutMs);
    }
    pending = pending.filter((one) => one.failure && isBound(one));
  }
}

/**
 * Waits until virtual functions have RDMA devices: after a boot, the module that creates them may still be loading.
 *
 * @param timeoutMs for all of them together
 * @returns those that have none at the end
 */
export async function waitForRdmaDevices(
  kernel: NodeKernel,
  vfs: readonly VfStatus[],
  timeoutMs: number,
): Promise<VfStatus[]> {
  const listMissing = () =>
    vfs.filter(({ deviceId }) => (kernel.getBusDevice(deviceId)?.rdmaDevices.length ?? 0) === 0);
  let missing = listMissing();
  for (let waitedMs = 0; missing.length > 0 && waitedMs < timeoutMs; waitedMs += RDMA_POLL_MS) {
    await kernel.delay(RDMA_POLL_MS);
    missing = listMissing();
  }
  return missing;
}

/** Waits for all, even if one fails, so that nothing is still running afterwards. */
async function inParallel(works: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find(({ status }) => status === "rejected");
  if (failed) throw (failed as PromiseRejectedResult).reason;
}

/** Lists what a driver has not made yet, or that there is none. */
function listMissing(kernel: NodeKernel, { pf, vf, expectsRdma }: Assignment): string[] {
  const bus = kernel.getBusDevice(vf.deviceId);
  if (bus?.driver === undefined) return ["driver"];
  const expectsNetdev = !pf.isInfiniBand || vf.netdev !== undefined;
  const { netdevs } = kernel.getFunctionDevices(vf.deviceId);
  return [
    ...(expectsNetdev && netdevs.length === 0 ? ["netdev"] : []),
    ...(expectsRdma && bus.rdmaDevices.length === 0 ? ["RDMA device"] : []),
  ];
}

function explainMissing(
  vf: VfStatus,
  missing: readonly string[],
  cause: SyscallError | undefined,
  timeoutMs: number,
): CommandError {
  const what = `Cannot rebind ${nameVf(vf)}`;
  const seconds = `${timeoutMs / 1000} s`;
  if (!missing.includes("driver")) {
    return new CommandError(
      `${what}: its driver is bound but created no ${missing.join(" and no ")} within ${seconds}, twice`,
      "See the kernel log; a longer --timeout helps a slow adapter.",
    );
  }
  const path = vf.driver === undefined ? "drivers_probe" : `drivers/${vf.driver}/bind`;
  return new CommandError(
    `${what}: it now has no driver; ${cause?.message ?? "no driver took it"}, tried again for ${seconds}`,
    `See the kernel log, then: echo ${vf.deviceId} > /sys/bus/pci/${path}`,
    undefined,
    { cause },
  );
}

/** @returns the kernel's refusal */
async function refusalOf(work: Promise<void>): Promise<SyscallError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof SyscallError) return error;
    throw error;
  }
}
