import type { AdminKernel } from "../../kernel/admin_kernel.ts";
import { SyscallError } from "../../kernel/error.ts";
import { CommandError } from "../error.ts";
import { nameOf } from "./format.ts";
import type { VfStatus } from "./list.ts";

const POLL_MS = 50;
const BIND_RETRY_MS = 1000;
const ATTEMPTS = 2;

/** What a virtual function's driver is to make. */
export interface Expected {
  readonly netdev: boolean;
  readonly rdmaDevice: boolean;
}

/**
 * Takes a virtual function's driver away and gives it back, and waits until netdev and RDMA device are there. A driver
 * that does not start is tried again every second; one that starts but makes no devices is taken away once more.
 *
 * @param timeoutMs the longest wait of each of two attempts
 * @throws {CommandError} when the driver does not come back; it says in which state the function is left
 */
export function rebind(kernel: AdminKernel, vf: VfStatus, expected: Expected, timeoutMs: number): void {
  let failure: Failure | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (kernel.getBusDevice(vf.deviceId)?.driver !== undefined) kernel.unbindDriver(vf.deviceId);
    failure = bind(kernel, vf, expected, timeoutMs);
    if (!failure) return;
    if (failure.missing.includes("driver")) break; // it was tried again already
  }
  throw notBack(vf, failure!, timeoutMs);
}

interface Failure {
  readonly missing: readonly string[];
  readonly cause?: SyscallError;
}

function bind(
  kernel: AdminKernel,
  { deviceId, driver }: VfStatus,
  expected: Expected,
  timeoutMs: number,
): Failure | undefined {
  let cause: SyscallError | undefined;
  for (let waitedMs = 0;; waitedMs += POLL_MS) {
    if (waitedMs % BIND_RETRY_MS === 0 && kernel.getBusDevice(deviceId)?.driver === undefined) {
      cause = tryToBind(kernel, deviceId, driver);
    }
    const missing = listMissing(kernel, deviceId, expected);
    if (missing.length === 0) return undefined;
    if (waitedMs >= timeoutMs) return { missing, ...(cause ? { cause } : {}) };
    kernel.sleep(POLL_MS);
  }
}

function tryToBind(
  kernel: AdminKernel,
  deviceId: string,
  driver: string | undefined,
): SyscallError | undefined {
  try {
    kernel.bindDriver(deviceId, driver);
    return undefined;
  } catch (error) {
    if (error instanceof SyscallError) return error;
    throw error;
  }
}

function listMissing(kernel: AdminKernel, deviceId: string, expected: Expected): string[] {
  const bus = kernel.getBusDevice(deviceId);
  if (bus?.driver === undefined) return ["driver"];
  const { netdevs } = kernel.getFunctionDevices(deviceId);
  return [
    ...(expected.netdev && netdevs.length === 0 ? ["netdev"] : []),
    ...(expected.rdmaDevice && bus.rdmaDevices.length === 0 ? ["RDMA device"] : []),
  ];
}

function notBack(vf: VfStatus, { missing, cause }: Failure, timeoutMs: number): CommandError {
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
      cause?.message ?? "no driver took it"
    }, tried again for ${seconds}`,
    `See the kernel log, then: echo ${vf.deviceId} > /sys/bus/pci/${path}`,
    undefined,
    { cause },
  );
}
