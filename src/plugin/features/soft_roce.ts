/** RDMA devices in software (module rdma_rxe), which ADD makes on the pod's interface and DEL removes. */
import { CniError, ErrorCode } from "../../cni/error.ts";
import { type Kernel, NetlinkError, type Netns, type RdmaDevice } from "../../kernel/kernel.ts";
import type { Log } from "../../log.ts";
import { EEXIST, EINVAL, EOPNOTSUPP, EPERM } from "../../sys/errno.ts";
import type { Call } from "../config/config.ts";
import { NoRdmaDevice, type PlannedDevice } from "../device/device.ts";
import { moveDevice, RIGHTS_ADVICE } from "../device/move.ts";
import type { Node } from "../node.ts";
import type { PodLinks } from "./pod_links.ts";
import { getRecordedDevice, type RecordedDevice } from "../record/record.ts";
import type { StoredRecord } from "../record/state.ts";

/**
 * Returns the text that stands in the record where others have the function.
 *
 * @throws {CniError} code 110 when the pod's interface is not there, or not an Ethernet interface
 */
export function softRoceId({ environment: { ifname, netns } }: Call, links: PodLinks): string {
  const link = links.get(ifname);
  if (link && !link.isInfiniBand) return softRoceIdOf(ifname);
  const fault = link ? "it is an IPoIB interface" : `it is not in ${JSON.stringify(netns)}`;
  throw new CniError(
    ErrorCode.deviceNotFound,
    `Cannot make a Soft-RoCE device on interface ${JSON.stringify(ifname)}: ${fault}`,
    '"rdma" must come after a plugin that gives the pod an Ethernet interface, such as bridge, macvlan or ptp',
  );
}

function softRoceIdOf(ifname: string): string {
  return `rxe:${ifname}`;
}

/**
 * Makes a Soft-RoCE device on the pod's interface and moves it into the pod. The kernel makes it in the initial
 * namespace, so its name there is one that nobody else has. When this fails, what was recorded is to be undone.
 *
 * @param save records the device. It is called before the device is there, with the name by which DEL and GC find it
 *   whenever this process ends
 * @returns the device, in the pod and under that name
 * @throws {CniError} 103 when the kernel has no Soft-RoCE that can be moved, 120 when it refuses otherwise
 */
export function makeSoftRoceDevice(
  { environment: { ifname }, log }: Call,
  { kernel }: Node,
  pod: Netns,
  save: (devices: readonly RecordedDevice[]) => void,
): PlannedDevice {
  const hostNetns = kernel.getHostNetns();
  // Calls that make devices do not overlap, so none has the time of another.
  const name = `rdma-cni-${kernel.getBootTimeUs()}`;
  const recorded = { hostName: name, podName: name };
  save([recorded]);
  try {
    pod.addSoftRoceDevice(name, ifname);
  } catch (error) {
    throw error instanceof NetlinkError ? cannotMake(error, ifname) : error;
  }
  const device = getRecordedDevice(hostNetns, recorded);
  if (!device) throw vanished(name, ifname);
  const { index } = device;
  log.info(`Soft-RoCE device ${name} (index ${index}) made on ${ifname}`);
  // With CNI_NETNS_OVERRIDE the "pod" may be the host.
  if (pod.inode !== hostNetns.inode) {
    try {
      moveDevice(kernel, device, hostNetns, pod);
    } catch (error) {
      const refusal = error instanceof CniError ? error.cause : undefined;
      // The mode is exclusive, so it is the driver that lacks disassociate_ucontext.
      if (refusal instanceof NetlinkError && refusal.errno === EOPNOTSUPP) throw tooOld(ifname, refusal);
      throw error;
    }
  }
  const uverbs = pod.getUverbs(index);
  const has = uverbs ? `/dev/infiniband/${uverbs}` : "no uverbs device";
  log.info(`Soft-RoCE device ${name} (index ${index}) is in ${pod.path} and has ${has}`);
  return { index, hostName: name, podName: name, location: "pod" };
}

/**
 * Removes the Soft-RoCE device of a recorded attachment, in the pod or, if ADD was cut off, on the host. In a namespace
 * that has ended, or is ending, the kernel removes it with its interface (rxe_net.c, rxe_notify).
 *
 * @throws {NetlinkError} when the device is there but cannot be removed
 */
export function removeSoftRoceDevice(
  kernel: Kernel,
  log: Log,
  record: StoredRecord,
  pod: Netns | undefined,
): void {
  if (pod) removeFrom(pod, log, record);
  removeFrom(kernel.getHostNetns(), log, record);
}

/** Returns whether a Soft-RoCE device with the recorded name is in another namespace than the host's. */
export function isSoftRoceAway(kernel: Kernel, { devices }: StoredRecord): boolean {
  const names = kernel.listDeviceNames();
  const hostNetns = kernel.getHostNetns();
  return devices.some((device) => names.includes(device.podName) && !getRecordedDevice(hostNetns, device));
}

function removeFrom(netns: Netns, log: Log, { deviceId, devices }: StoredRecord): void {
  for (const recorded of devices) {
    const device = getRecordedDevice(netns, recorded);
    if (device && isOfAttachment(netns, device, recorded, deviceId)) remove(netns, device, log);
  }
}

/**
 * An index alone does not identify a device: when module ib_core is loaded again, they are counted from 0 again. No other
 * device has the name that ADD made up. One of another name is on the recorded interface, or on one that is elsewhere.
 */
function isOfAttachment(
  netns: Netns,
  { index, name }: RdmaDevice,
  { hostName, podName }: RecordedDevice,
  deviceId: string,
): boolean {
  if (name === hostName) return true;
  const netdev = netns.getNetdev(index);
  return netdev === undefined ? name === podName : softRoceIdOf(netdev) === deviceId;
}

function remove(netns: Netns, { index, name }: RdmaDevice, log: Log): void {
  try {
    netns.removeSoftRoceDevice(index);
    log.info(`Soft-RoCE device ${name} (index ${index}) removed from ${netns.path}`);
  } catch (error) {
    if (netns.getRdmaDevice(index)) throw error;
    log.info(`Soft-RoCE device ${name} (index ${index}) went with its interface`);
  }
}

/** Explains an errno of RDMA_NLDEV_CMD_NEWLINK (nldev.c, nldev_newlink; rxe.c, rxe_newlink). */
function cannotMake(error: NetlinkError, ifname: string): CniError {
  const cannot = `Cannot make a Soft-RoCE device on ${JSON.stringify(ifname)}`;
  const refused = (reason: string, advice: string) => {
    const details = `${advice}; ${error.message}`;
    return new CniError(ErrorCode.kernelRefused, `${cannot}: ${reason}`, details, { cause: error });
  };
  switch (error.errno) {
    case EINVAL:
      return unavailable(
        `${cannot}: the kernel has no Soft-RoCE`,
        `load its module on this node: modprobe rdma_rxe; it must be Linux 7.3 or newer`,
        error,
      );
    case EEXIST:
      return refused("the interface has one already", "remove it: rdma link delete NAME");
    case EPERM:
      return refused(
        "no permission, or it is a VLAN interface, which cannot have one",
        `use the interface below the VLAN, or ${RIGHTS_ADVICE}`,
      );
    default:
      return refused("the kernel refused", "see the kernel log");
  }
}

function tooOld(ifname: string, cause: NetlinkError): CniError {
  return unavailable(
    `Cannot give the pod a Soft-RoCE device on ${JSON.stringify(ifname)}: ` +
      "this kernel cannot move one into a network namespace",
    "it must be Linux 7.3 or newer: update the kernel, or remove softRoCE from the network configuration",
    cause,
  );
}

/** A node that has no such device, as far as `optional` goes. */
function unavailable(message: string, advice: string, cause: Error): CniError {
  return new NoRdmaDevice(ErrorCode.featureUnavailable, message, `${advice}; ${cause.message}`, { cause });
}

function vanished(name: string, ifname: string): CniError {
  const [device, netdev] = [JSON.stringify(name), JSON.stringify(ifname)];
  return new CniError(
    ErrorCode.deviceMissing,
    `Cannot find Soft-RoCE device ${device} in the host's network namespace after the kernel made it`,
    `interface ${netdev} was removed meanwhile, or the plugin does not run in the initial network namespace`,
  );
}
