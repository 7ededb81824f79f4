/** Rebinds the drivers of virtual functions, and waits for the devices that they create. */
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { SyscallError } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";
import { nameOf, type VfStatus } from "../../node/functions.ts";

const POLL_MS = 50;
const BIND_RETRY_MS = 1000;
const ATTEMPTS = 2;
const RDMA_POLL_MS = 100;

/** A virtual function to rebind, and the devices that its driver must create. */
export interface Rebind {
  readonly vf: VfStatus;
  readonly netdev: boolean;
  readonly rdmaDevice: boolean;
}

/**
 * Unbinds and binds the drivers of virtual functions, and waits until netdevs and RDMA devices are there. All
 * functions are rebound at once, and each is without driver only as long as its own driver takes. A driver
 * that does not start is tried again every second, one function after the other. One that starts but creates
 * no devices is rebound once more.
 *
 * @param timeoutMs how long to wait in each of two attempts
 * @returns why functions failed, and in which state they are left
 */
export async function rebindAll(
  kernel: NodeKernel,
  rebinds: readonly Rebind[],
  timeoutMs: number,
): Promise<Map<Rebind, Error>> {
  const failures = new Map<Rebind, Error>();
  let pending = rebinds.map((wanted) => new Attempt(kernel, wanted));
  for (let attempt = 1; attempt <= ATTEMPTS && pending.length > 0; attempt++) {
    await inParallel(pending.map((one) => one.rebind()));
    await waitForAll(kernel, pending, timeoutMs);
    for (const one of pending) {
      const failure = one.findFailure(timeoutMs);
      if (failure) failures.set(one.wanted, failure);
      else failures.delete(one.wanted);
    }
    pending = pending.filter((one) => one.lacksDevices());
  }
  return failures;
}

/**
 * Waits until virtual functions have RDMA devices: after a boot, the module that creates them may still be
 * loading.
 *
 * @param timeoutMs for all of them together
 * @returns those that have none at the end
 */
export async function waitForRdmaDevices(
  kernel: NodeKernel,
  vfs: readonly VfStatus[],
  timeoutMs: number,
): Promise<VfStatus[]> {
  const listMissing = () => {
    return vfs.filter(({ deviceId }) => (kernel.getBusDevice(deviceId)?.rdmaDevices.length ?? 0) === 0);
  };
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

async function waitForAll(kernel: NodeKernel, all: readonly Attempt[], timeoutMs: number): Promise<void> {
  for (let waitedMs = 0;; waitedMs += POLL_MS) {
    if (waitedMs > 0 && waitedMs % BIND_RETRY_MS === 0) {
      for (const one of all) if (!one.isBound()) await one.bind();
    }
    if (waitedMs >= timeoutMs || all.every((one) => one.listMissing().length === 0)) return;
    await kernel.delay(POLL_MS);
  }
}

/** A function that is being rebound. */
class Attempt {
  /** Why its driver cannot be unbound. */
  #refusal: SyscallError | undefined;
  /** Why its driver does not start. */
  #cause: SyscallError | undefined;

  constructor(readonly kernel: NodeKernel, readonly wanted: Rebind) {}

  isBound(): boolean {
    return this.kernel.getBusDevice(this.wanted.vf.deviceId)?.driver !== undefined;
  }

  async rebind(): Promise<void> {
    const { deviceId } = this.wanted.vf;
    this.#refusal = this.isBound() ? await attempt(this.kernel.unbindDriver(deviceId)) : undefined;
    if (!this.#refusal) await this.bind();
  }

  async bind(): Promise<void> {
    const { deviceId, driver } = this.wanted.vf;
    this.#cause = await attempt(this.kernel.bindDriver(deviceId, driver));
  }

  /** What is missing; nothing if the driver could not be unbound. */
  listMissing(): string[] {
    if (this.#refusal) return [];
    const { vf: { deviceId }, netdev, rdmaDevice } = this.wanted;
    const bus = this.kernel.getBusDevice(deviceId);
    if (bus?.driver === undefined) return ["driver"];
    const { netdevs } = this.kernel.getFunctionDevices(deviceId);
    return [
      ...(netdev && netdevs.length === 0 ? ["netdev"] : []),
      ...(rdmaDevice && bus.rdmaDevices.length === 0 ? ["RDMA device"] : []),
    ];
  }

  /** Its driver has started but not created all devices. */
  lacksDevices(): boolean {
    return this.isBound() && this.listMissing().length > 0;
  }

  findFailure(timeoutMs: number): Error | undefined {
    const missing = this.listMissing();
    if (missing.length === 0) return this.#refusal;
    const { vf } = this.wanted;
    const what = `Cannot rebind ${nameOf(vf)}`;
    const seconds = `${timeoutMs / 1000} s`;
    if (!missing.includes("driver")) {
      return new CommandError(
        `${what}: its driver is bound but created no ${missing.join(" and no ")} within ${seconds}, twice`,
        "See the kernel log; a longer --timeout helps a slow adapter.",
      );
    }
    const path = vf.driver === undefined ? "drivers_probe" : `drivers/${vf.driver}/bind`;
    return new CommandError(
      `${what}: it now has no driver; ${
        this.#cause?.message ?? "no driver took it"
      }, tried again for ${seconds}`,
      `See the kernel log, then: echo ${vf.deviceId} > /sys/bus/pci/${path}`,
      undefined,
      { cause: this.#cause },
    );
  }
}

/** @returns the kernel's refusal */
async function attempt(work: Promise<void>): Promise<SyscallError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof SyscallError) return error;
    throw error;
  }
}
