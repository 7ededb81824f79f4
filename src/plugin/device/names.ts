import type { Call } from "../config/config.ts";
import { CniError, ErrorCode } from "../../cni/error.ts";
import { isNameTaken, NetlinkError, type Netns } from "../../kernel/kernel.ts";
import type { PlannedDevice } from "./device.ts";
import { moveDevice, moveUnderFreeName } from "./move.ts";
import { describeClaim } from "../record/claims.ts";
import { openRecorded } from "../record/namespaces.ts";
import type { Node } from "../node.ts";

/** IB_DEVICE_NAME_MAX (uapi rdma/ib_user_verbs.h) is 64 with the zero at the end; the kernel cuts off what is longer. */
const MAX_BYTES = 63;

/**
 * Reads the template of the names that the call asks for, if it does: CNI_ARGS, which the runtime sets, goes before the configuration.
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
 * device keeps its own. A name that nobody asked for never makes ADD fail: where the pod has a device of that name,
 * which Linux 7.3 allows, the device gets a free one like it.
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

function onTaken(
  call: Call,
  node: Node,
  pod: Netns,
  { index, hostName, podName }: PlannedDevice,
  cause?: Error,
) {
  const taken = `the name ${JSON.stringify(podName)} is taken: ${describeHolder(node, pod, podName)}`;
  if (call.config.rdmaDeviceNameConflict === "keep") {
    return call.log.warning(`RDMA device ${hostName} (index ${index}) keeps its name, since ${taken}`);
  }
  const refusal = cause instanceof CniError ? cause.cause : cause;
  const kernelWords = refusal instanceof NetlinkError ? `; ${refusal.message}` : "";
  throw new CniError(
    ErrorCode.nameTaken,
    `Cannot rename RDMA device ${JSON.stringify(hostName)}: ${taken}`,
    `ask for another name, or set "rdmaDeviceNameConflict" to "keep"${kernelWords}`,
    { cause },
  );
}

/** Describes the device that has a name, for people. */
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

/**
 * Makes the names of an attachment's devices. `{ifname}` in the template stands for the interface, `{index}` for the
 * lowest number from 0 on that makes a name which is not taken.
 *
 * @param count how many devices there are
 * @param taken the names of the other devices in the pod
 * @returns one name a device; without `{index}` it can be one that is taken
 * @throws {CniError} code 7 when the template has another placeholder, several devices would get one name, or a name
 *   comes out that no device can have
 */
export function makeDeviceNames(
  template: string,
  ifname: string,
  count: number,
  taken: readonly string[],
): string[] {
  const placeholders = /\{(ifname|index)\}/g;
  if (/[{}]/.test(template.replace(placeholders, ""))) {
    throw invalid(template, "it has a placeholder other than {ifname} and {index}");
  }
  const isCounted = template.includes("{index}");
  if (count > 1 && !isCounted) {
    const fault = `the function has ${count} RDMA devices, and without {index} all get the same name`;
    throw invalid(template, fault);
  }
  const known = new Set(taken);
  return Array.from({ length: count }, () => {
    for (let index = 0;; index++) {
      const name = template.replace(placeholders, (_, key) => key === "index" ? `${index}` : ifname);
      assertName(template, name);
      if (isCounted && known.has(name)) continue;
      known.add(name);
      return name;
    }
  });
}

/**
 * The kernel renames to almost anything. But a name becomes a directory in sysfs, which "/" would break; "%" is what
 * drivers have counted names made of ("mlx5_%d"); and scripts read names between white space.
 */
function assertName(template: string, name: string): void {
  const quoted = JSON.stringify(name);
  const length = lengthOf(name);
  if (length > MAX_BYTES) {
    throw invalid(template, `${quoted} has ${length} bytes, and a device's name ${MAX_BYTES} at most`);
  }
  if (name === "." || name === "..") throw invalid(template, `${quoted} is a directory's name`);
  if (/[/%\s\p{Cc}\p{Cs}]/u.test(name)) {
    throw invalid(template, `${quoted} has '/', '%', white space or a control character in it`);
  }
}

/** Returns whether the kernel takes a text for a device's name as it is. */
export function isDeviceName(text: string): boolean {
  return text !== "" && lengthOf(text) <= MAX_BYTES;
}

function lengthOf(name: string): number {
  return new TextEncoder().encode(name).length;
}

function invalid(template: string, fault: string): CniError {
  return new CniError(
    ErrorCode.invalidConfig,
    `Cannot name RDMA devices by "rdmaDeviceName" ${JSON.stringify(template)}: ${fault}`,
    'correct "rdmaDeviceName" in CNI_ARGS, in "args.cni" or in the network configuration, which count in this order',
  );
}
