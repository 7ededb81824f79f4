import type { Call } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Netns } from "../kernel/kernel.ts";
import { isNameTaken, type NetlinkError } from "../netlink/error.ts";
import type { PlannedDevice } from "./acquire.ts";
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
 * Gives devices the names that they are to have in the pod. Names are unique on the whole node (device.c,
 * ib_device_rename, up to kernel 6.12 at least), so a rename before the move finds out, and a refusal has changed
 * nothing. A kernel that keeps the names of each namespace apart may accept in the pod what it refused on the host, so
 * devices that may keep their name are tried there once more.
 *
 * @param netns where the devices are, the host namespace or the pod's
 * @returns those that keep their name, since another device has the one they were to get
 * @throws {CniError} code 114 when there are such and the configuration does not say "keep"
 */
export function renameDevices(
  call: Call,
  node: Node,
  pod: Netns,
  netns: Netns,
  devices: readonly PlannedDevice[],
): PlannedDevice[] {
  const kept: PlannedDevice[] = [];
  for (const device of devices) {
    const { index, hostName, podName } = device;
    if (podName === hostName) continue;
    try {
      netns.renameRdmaDevice(index, podName);
      call.log.info(`RDMA device ${hostName} (index ${index}) is called ${podName} from now on`);
    } catch (error) {
      if (!isNameTaken(error)) throw error;
      if (netns === pod || !mayKeep(call)) onTaken(call, node, pod, device, error);
      kept.push(device);
    }
  }
  return kept;
}

function mayKeep({ config }: Call): boolean {
  return config.rdmaDeviceNameConflict === "keep";
}

function onTaken(
  call: Call,
  node: Node,
  pod: Netns,
  { index, hostName, podName }: PlannedDevice,
  cause?: NetlinkError,
) {
  const taken = `the name ${JSON.stringify(podName)} is taken: ${describeHolder(node, pod, podName)}`;
  if (mayKeep(call)) {
    return call.log.warning(`RDMA device ${hostName} (index ${index}) keeps its name, since ${taken}`);
  }
  throw new CniError(
    ErrorCode.nameTaken,
    `Cannot rename RDMA device ${JSON.stringify(hostName)}: ${taken}`,
    'ask for another name, or set "rdmaDeviceNameConflict" to "keep"' + (cause ? `; ${cause.message}` : ""),
    { cause },
  );
}

/** Which device has a name, for people. */
function describeHolder({ kernel, state }: Node, pod: Netns, name: string): string {
  const find = (netns: Netns) => netns.listRdmaDevices().find((device) => device.name === name)?.index;
  const onHost = find(kernel.getHostNetns());
  if (onHost !== undefined) return `RDMA device ${onHost} has it, in the host's network namespace`;
  for (const record of state.list()) {
    if (!record.netns || record.bootId !== kernel.getBootId()) continue;
    using netns = openRecorded(kernel, record.netns);
    const index = netns && find(netns);
    if (index !== undefined && record.devices.some((device) => device.index === index)) {
      return describeClaim(record);
    }
  }
  const inPod = find(pod);
  return inPod === undefined
    ? "a device in another network namespace that is in no record has it"
    : `RDMA device ${inPod} has it, in ${pod.path}`;
}
