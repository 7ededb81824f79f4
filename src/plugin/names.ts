import type { Call } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Netns } from "../kernel/kernel.ts";
import { isNameTaken, NetlinkError } from "../netlink/error.ts";
import type { PlannedDevice } from "./device.ts";
import { moveDevice, moveUnderFreeName } from "./move.ts";
import { describeClaim } from "./claims.ts";
import { makeDeviceNames } from "./device_name.ts";
import { openRecorded } from "./namespaces.ts";
import type { Node } from "./node.ts";

/**
 * What names the call asks for, if it does: CNI_ARGS, which the runtime sets, goes before the configuration.
 *
 * @throws {CniError} code 7 when no device can have such a name
 */
export function readNameTemplate({ environment, config }: Call): string | undefined {
  const template = environment.args.get("rdmaDeviceName") || config.rdmaDeviceName;
  if (template) makeDeviceNames(template, environment.ifname, 1, []);
  return template;
}

/**
 * Plans what devices are to be called in the pod. They keep their names unless there is a template for others.
 *
 * @throws {CniError} code 7 when several devices would get one name, 114 when another device in the pod has one
 */
export function planNames(
  call: Call,
  node: Node,
  pod: Netns,
  devices: readonly PlannedDevice[],
  template: string | undefined,
): PlannedDevice[] {
  if (!template) return [...devices];
  const own = devices.map(({ index }) => index);
  const others = pod.listRdmaDevices().filter(({ index }) => !own.includes(index)).map(({ name }) => name);
  const names = makeDeviceNames(template, call.environment.ifname, devices.length, others);
  return devices.map((device, at) => {
    const named = { ...device, podName: names[at]! };
    if (!others.includes(named.podName)) return named;
    onTaken(call, node, pod, named);
    return device;
  });
}

/**
 * Moves a device into the pod under the name planned for it. Where that is taken, and the configuration says so, the
 * device keeps its own. A name that nobody asked for never makes ADD fail: where the pod has a device of that name, which
 * Linux 7.3 allows, the device gets a free one like it.
 *
 * @returns its name in the pod
 * @throws {CniError} code 114 when the name asked for is taken, 120 when the kernel refuses the move
 */
export function moveToPod(call: Call, node: Node, pod: Netns, device: PlannedDevice): string {
  const { kernel } = node;
  const { index, hostName, podName } = device;
  const onHost = { index, name: hostName };
  if (podName !== hostName) {
    try {
      moveDevice(kernel, onHost, kernel.getHostNetns(), pod, podName);
      return podName;
    } catch (error) {
      if (!(error instanceof CniError && error.code === ErrorCode.nameTaken)) throw error;
      onTaken(call, node, pod, device, error);
    }
  }
  return moveUnderFreeName(kernel, onHost, kernel.getHostNetns(), pod, hostName);
}

/**
 * Gives a device that is in the pod already the name planned for it.
 *
 * @returns its name then
 * @throws {CniError} code 114 when that is taken and the configuration does not say "keep"
 */
export function renameInPod(call: Call, node: Node, pod: Netns, device: PlannedDevice): string {
  const { index, hostName, podName } = device;
  if (podName === hostName) return hostName;
  try {
    pod.renameRdmaDevice(index, podName);
    return podName;
  } catch (error) {
    if (!isNameTaken(error)) throw error;
    onTaken(call, node, pod, device, error);
    return hostName;
  }
}

function mayKeep({ config }: Call): boolean {
  return config.rdmaDeviceNameConflict === "keep";
}

function onTaken(
  call: Call,
  node: Node,
  pod: Netns,
  { index, hostName, podName }: PlannedDevice,
  cause?: Error,
) {
  const taken = `the name ${JSON.stringify(podName)} is taken: ${describeHolder(node, pod, podName)}`;
  if (mayKeep(call)) {
    return call.log.warning(`RDMA device ${hostName} (index ${index}) keeps its name, since ${taken}`);
  }
  throw new CniError(
    ErrorCode.nameTaken,
    `Cannot rename RDMA device ${JSON.stringify(hostName)}: ${taken}`,
    'ask for another name, or set "rdmaDeviceNameConflict" to "keep"' + kernelWords(cause),
    { cause },
  );
}

function kernelWords(cause: Error | undefined): string {
  const refusal = cause instanceof CniError ? cause.cause : cause;
  return refusal instanceof NetlinkError ? `; ${refusal.message}` : "";
}

/** Which device has a name, for people. */
function describeHolder({ kernel, state }: Node, pod: Netns, name: string): string {
  const find = (netns: Netns) => netns.listRdmaDevices().find((device) => device.name === name)?.index;
  const inPod = find(pod);
  const onHost = find(kernel.getHostNetns());
  if (inPod === undefined && onHost !== undefined) {
    return `RDMA device ${onHost} has it, in the host's network namespace`;
  }
  for (const record of state.list()) {
    if (!record.netns || record.bootId !== kernel.getBootId()) continue;
    using netns = openRecorded(kernel, record.netns);
    if (inPod !== undefined && netns?.inode !== pod.inode) continue;
    const index = netns && find(netns);
    if (index !== undefined && record.devices.some((device) => device.index === index)) {
      return describeClaim(record);
    }
  }
  return inPod === undefined
    ? "a device in another network namespace that is in no record has it"
    : `RDMA device ${inPod} has it, in ${pod.path}`;
}
