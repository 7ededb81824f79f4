import { CniError, ErrorCode } from "../../cni/error.ts";
import { isNameTaken, type Kernel, NetlinkError, type Netns, type RdmaDevice } from "../../kernel/kernel.ts";
import { EBADF, EBUSY, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EPERM } from "../../sys/errno.ts";

/** Advice about EPERM. */
export const RIGHTS_ADVICE =
  "run as root with CAP_NET_ADMIN, to move devices, and CAP_SYS_ADMIN, to enter network " +
  "namespaces, both in the initial user namespace; rootless runtimes cannot";

/** The name that the kernel gives a device whose own is taken in the namespace that it must go to (device.c, rdma_dev_exit_net). */
export const KERNEL_NAME = /^ibdev\d+$/;

/**
 * Moves a device from a namespace into another one.
 *
 * @param name its name there; its own when it keeps that
 * @throws {CniError} code 120, or 114 when the name is taken, with the reason, what to do and the kernel's own words
 */
export function moveDevice(
  kernel: Kernel,
  device: RdmaDevice,
  from: Netns,
  to: Netns,
  name = device.name,
): void {
  try {
    from.moveRdmaDevice(device.index, to, name === device.name ? undefined : name);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const { reason, advice } = explainRefusal(error.errno, () => kernel.getRdmaMode() === "shared");
    const what = `RDMA device ${JSON.stringify(device.name)} to network namespace ${JSON.stringify(to.path)}`;
    throw new CniError(
      isNameTaken(error) ? ErrorCode.nameTaken : ErrorCode.kernelRefused,
      `Cannot move ${what}: ${reason}`,
      `${advice}; ${error.message}`,
      { cause: error },
    );
  }
}

/**
 * Moves a device under a name, or where that is taken under the first free one like it.
 *
 * @returns the name it has now
 * @throws {CniError} code 120
 */
export function moveUnderFreeName(
  kernel: Kernel,
  device: RdmaDevice,
  from: Netns,
  to: Netns,
  name: string,
): string {
  return withFreeName(name, (free) => moveDevice(kernel, device, from, to, free));
}

/** Renames a device to a name, or where that is taken to the first free one like it. @returns the name it has now */
export function renameToFreeName(netns: Netns, { index }: RdmaDevice, name: string): string {
  return withFreeName(name, (free) => netns.renameRdmaDevice(index, free));
}

/** More than a node has devices. */
const NAMES_TRIED = 4096;

/** Names as drivers make them: `mlx5_0`, `mlx5_1` ... */
function withFreeName(name: string, use: (name: string) => void): string {
  const stem = /\d$/.test(name) ? name.replace(/\d+$/, "") : `${name}_`;
  for (let number = -1;; number++) {
    const free = number < 0 ? name : `${stem}${number}`;
    try {
      use(free);
      return free;
    } catch (error) {
      const isTaken = isNameTaken(error) || error instanceof CniError && error.code === ErrorCode.nameTaken;
      if (!isTaken || number === NAMES_TRIED) throw error;
    }
  }
}

/**
 * Makes sure that nothing hangs on devices that are to be moved. An SMI sub-device holds a reference to its parent
 * (device.c, ib_add_sub_device, kernel 6.11); a move of the parent waits for that to be given back (disable_device),
 * which is forever, and nothing can end the process that waits.
 *
 * @param all where sub-devices may be
 * @throws {CniError} code 112
 */
export function refuseSubDevices(devices: readonly RdmaDevice[], all: readonly RdmaDevice[]): void {
  const names = devices.map(({ name }) => name);
  const subDevices = all.filter(({ parent }) => parent !== undefined && names.includes(parent));
  if (subDevices.length === 0) return;
  const parent = JSON.stringify(subDevices[0]?.parent);
  throw new CniError(
    ErrorCode.deviceForbidden,
    `Cannot move RDMA device ${parent}: while it has sub-devices the kernel would never finish`,
    subDevices.map(({ name }) => `remove it: rdma dev del ${name}`).join("; "),
  );
}

/**
 * Explains an errno of RDMA_NLDEV_CMD_SET with a namespace (drivers/infiniband/core/nldev.c nldev_set_doit, device.c
 * ib_device_set_netns_put and rdma_dev_change_netns).
 *
 * @param isShared asks for the mode, which distinguishes the two causes of EOPNOTSUPP
 */
export function explainRefusal(errno: number, isShared: () => boolean): { reason: string; advice: string } {
  switch (errno) {
    case EPERM:
      return { reason: "no permission", advice: RIGHTS_ADVICE };
    case EOPNOTSUPP:
      if (isShared()) {
        return {
          reason: "the RDMA subsystem is in mode shared, want exclusive",
          advice: 'run "rdma-cni netns-mode set exclusive"',
        };
      }
      return {
        reason: "its driver cannot take it away from programs that use it (no disassociate_ucontext)",
        advice:
          "use an adapter whose driver can, such as mlx5; bnxt_re, erdma and mana can since kernel 6.12, ionic since 7.2, " +
          "those of AWS EFA, qedr, siw and cxgb4 never",
      };
    case EINVAL:
      return {
        reason: "the kernel does not see it there any more",
        advice: "its driver was rebound meanwhile, or another program moved it: try again",
      };
    case ENODEV:
      return { reason: "it is being removed", advice: "its driver is unbinding: try again when it is bound" };
    case EEXIST:
      return {
        reason: "the namespace has a device of that name",
        advice: 'rename one of them with "rdma dev set NAME name NEWNAME"',
      };
    case EBADF:
      return { reason: "the namespace has gone", advice: "the pod ended meanwhile" };
    case EBUSY:
      return { reason: "it is busy", advice: "another program is changing it: try again" };
    default:
      return { reason: "the kernel refused", advice: "see the kernel log" };
  }
}
