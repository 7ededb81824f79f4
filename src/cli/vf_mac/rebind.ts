import type { NodeKernel } from "../../kernel/kernel.ts";
import { SyscallError } from "../../sys/errno.ts";
import { CommandError } from "../errors.ts";
import type { Terminal } from "../terminal.ts";
import { nameOf, type VfStatus } from "./list.ts";

const POLL_MS = 50;
const BIND_RETRY_MS = 1000;
const ATTEMPTS = 2;

/** A virtual function to bind again, and what its driver must make then. */
export interface Rebind {
  readonly vf: VfStatus;
  readonly netdev: boolean;
  readonly rdmaDevice: boolean;
}

/**
 * Takes the drivers of virtual functions away and gives them back, and waits until netdevs and RDMA devices are there.
 * The functions are dealt with side by side, each without driver only as long as its own driver takes. A driver that
 * does not start that way is tried again every second, one function after the other; one that starts but makes no
 * devices is taken away once more.
 *
 * @param timeoutMs the longest wait of each of two attempts
 * @returns why functions did not come back, and in which state they are left
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

/** Waits for all, even if one fails, so that nothing goes on when the caller believes it has ended. */
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

/** One function while its driver is bound again. */
class Attempt {
  /** Why its driver stays. */
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

  /** What the driver has not made; nothing if it could not be taken away. */
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

  /** Its driver has started but not made all devices. */
  lacksDevices(): boolean {
    return this.isBound() && this.listMissing().length > 0;
  }

  findFailure(timeoutMs: number): Error | undefined {
    const missing = this.listMissing();
    if (missing.length === 0) return this.#refusal;
    const { vf } = this.wanted;
    const what = `Cannot bring back ${nameOf(vf)}`;
    const seconds = `${timeoutMs / 1000} s`;
    if (!missing.includes("driver")) {
      return new CommandError(
        `${what}: its driver is bound but made no ${missing.join(" and no ")} within ${seconds}, twice`,
        "See the kernel log; a longer --timeout helps a slow adapter.",
      );
    }
    const path = vf.driver === undefined ? "drivers_probe" : `drivers/${vf.driver}/bind`;
    return new CommandError(
      `${what}: it is left without driver; ${
        this.#cause?.message ?? "no driver took it"
      }, tried again for ${seconds}`,
      `See the kernel log, then: echo ${vf.deviceId} > /sys/bus/pci/${path}`,
      undefined,
      { cause: this.#cause },
    );
  }
}

/** The kernel's refusal of an order, if it refuses. */
async function attempt(order: Promise<void>): Promise<SyscallError | undefined> {
  try {
    await order;
    return undefined;
  } catch (error) {
    if (error instanceof SyscallError) return error;
    throw error;
  }
}

const RDMA_POLL_MS = 100;

/**
 * Waits until virtual functions have RDMA devices: a module that makes them may still be on its way after a boot.
 *
 * @param timeoutMs for all together
 * @returns those that have none when the time is up
 */
export async function awaitRdma(
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

const WIDTH = 30;
const CLEAR_LINE = "\r\x1b[K";

/** What a long command is at: a bar on a terminal, below the lines; the lines alone elsewhere. */
export class Progress {
  #done = 0;

  constructor(readonly terminal: Terminal, readonly total: number) {}

  /** Says what is being done. */
  show(what: string): void {
    if (!this.terminal.showsProgress) return;
    const filled = Math.round(WIDTH * this.#done / Math.max(this.total, 1));
    const bar = "#".repeat(filled).padEnd(WIDTH, "-");
    this.terminal.err(`${CLEAR_LINE}[${bar}] ${this.#done}/${this.total} ${what}`);
  }

  /** One of the things is done. */
  advance(line: string): void {
    this.#done++;
    this.print(line);
  }

  /** Prints a line, which stays. */
  print(line: string): void {
    this.terminal.err(`${this.terminal.showsProgress ? CLEAR_LINE : ""}${line}\n`);
  }
}
