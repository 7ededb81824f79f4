import type { Call } from "./config.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Netns } from "../kernel/kernel.ts";
import { isNameTaken, type NetlinkError } from "../netlink/error.ts";
import type { AcquiredDevices } from "./acquire.ts";
import { describeClaim } from "./claims.ts";
import type { FunctionDevice } from "./device.ts";
import { makeDeviceNames } from "./device_name.ts";
import { openRecorded } from "./namespaces.ts";
import type { Node } from "./node.ts";

/** A device that ADD takes, and what it is to be called in the pod. */
export interface NamedDevice extends FunctionDevice {
  readonly podName: string;
}

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
 * What devices are to be called in the pod. They keep their names unless there is a template for others.
 *
 * @throws {CniError} code 7 when several devices would get one name, 114 when another device in the pod has one
 */
export function choosePodNames(
  call: Call,
  node: Node,
  pod: Netns,
  { onHost, inPod }: AcquiredDevices,
  template: string | undefined,
): { readonly onHost: NamedDevice[]; readonly inPod: NamedDevice[] } {
  const keep = (device: FunctionDevice) => ({ ...device, podName: device.name });
  if (!template) return { onHost: onHost.map(keep), inPod: inPod.map(keep) };

  const own = [...inPod, ...onHost].map(({ index }) => index);
  const others = pod.listRdmaDevices().filter(({ index }) => !own.includes(index)).map(({ name }) => name);
  const names = makeDeviceNames(template, call.environment.ifname, own.length, others);
  const choose = (device: FunctionDevice) => {
    const named = { ...device, podName: names.shift()! };
    if (!others.includes(named.podName)) return named;
    onTaken(call, node, pod, named);
    return keep(device);
  };
  return { inPod: inPod.map(choose), onHost: onHost.map(choose) };
}

/**
 * Gives devices the names that they are to have in the pod. Names are unique on the whole node (device.c,
 * ib_device_rename, up to kernel 6.12 at least). So it is the rename before the move that tells, and a refusal has
 * changed nothing. A kernel that keeps the names of each namespace apart may take in the pod what it refused on the host;
 * so for devices that may keep their name it is tried there once more.
 *
 * @param netns where the devices are, on the host or in the pod
 * @returns those that keep their name, since another device has the one they were to get
 * @throws {CniError} code 114 when there are such and the configuration does not say "keep"
 */
export function giveNames(
  call: Call,
  node: Node,
  pod: Netns,
  netns: Netns,
  devices: readonly NamedDevice[],
): NamedDevice[] {
  return devices.filter((device) => {
    const { index, name, podName } = device;
    if (podName === name) return false;
    try {
      netns.renameRdmaDevice(index, podName);
      call.log.info(`RDMA device ${name} (index ${index}) is called ${podName} from now on`);
      return false;
    } catch (error) {
      if (!isNameTaken(error)) throw error;
      if (netns === pod || !mayKeep(call)) onTaken(call, node, pod, device, error);
      return true;
    }
  });
}

function mayKeep({ config }: Call): boolean {
  return config.rdmaDeviceNameConflict === "keep";
}

function onTaken(
  call: Call,
  node: Node,
  pod: Netns,
  { index, name, podName }: NamedDevice,
  cause?: NetlinkError,
) {
  const taken = `the name ${JSON.stringify(podName)} is taken: ${describeHolder(node, pod, podName)}`;
  if (mayKeep(call)) {
    return call.log.warning(`RDMA device ${name} (index ${index}) keeps its name, since ${taken}`);
  }
  throw new CniError(
    ErrorCode.nameTaken,
    `Cannot rename RDMA device ${JSON.stringify(name)}: ${taken}`,
    'ask for another name, or set "rdmaDeviceNameConflict" to "keep"' + (cause ? `; ${cause.message}` : ""),
    { cause },
  );
}

/** Which device has a name, for people. */
function describeHolder({ kernel, state }: Node, pod: Netns, name: string): string {
  const find = (netns: Netns) => netns.listRdmaDevices().find((device) => device.name === name)?.index;
  const onHost = find(kernel.getHostNetns());
  if (onHost !== undefined) return `RDMA device ${onHost} has it, in the host's network namespace`;
  for (const { file, record } of state.list()) {
    if (!record?.netns || record.bootId !== kernel.getBootId()) continue;
    using netns = openRecorded(kernel, record.netns);
    const index = netns && find(netns);
    if (index !== undefined && record.devices.some((device) => device.index === index)) {
      return describeClaim({ file, record });
    }
  }
  const inPod = find(pod);
  return inPod === undefined
    ? "a device has it that no record tells of, in another network namespace"
    : `RDMA device ${inPod} has it, in ${pod.path}`;
}
