/** What keeps programs in pods from using the RDMA devices that the pods have. `doctor` and `pods` say the same. */
import { nameState } from "../kernel/kernel.ts";
import type { NodeKernel, PhysicalFunction } from "../kernel/node_kernel.ts";
import { deleteCommand, nameOwner, quote } from "./fate.ts";
import type { State } from "../plugin/record/state.ts";
import type { PodDevice, PodNetdev, PodPort } from "./pods.ts";

/** A fault of a device that is in its pod. */
export interface Fault {
  /** The name of the record that says that the pod has the device. */
  readonly record: string;
  readonly level: "problem" | "warning";
  readonly text: string;
  /** The way out: a command of the shell, or a comment of the shell. */
  readonly fix: string;
}

/** The devices of an attachment. */
type Devices = readonly [PodDevice, ...PodDevice[]];

/** Finds the faults of devices that are in their pods: ports that are down, addresses without GID, and a wrong MTU. */
export function findFaults(kernel: NodeKernel, devices: readonly PodDevice[]): Fault[] {
  const present = devices.filter(({ status }) => status === "present");
  if (present.length === 0) return [];
  const pfs = kernel.listPhysicalFunctions();
  return [...Map.groupBy(present, ({ record }) => record).values()].flatMap((devices) => {
    const alike = devices as [PodDevice, ...PodDevice[]];
    const [{ record, deviceId, netdev }] = alike;
    const pf = pfs.find((one) => [one, ...one.vfs].some((own) => own.deviceId === deviceId));
    return [
      ...alike.flatMap((device) => findDownPorts(device, pf)),
      ...netdev ? [...findAddressesWithoutGid(alike, netdev), ...findMtu(alike[0], netdev, pf)] : [],
    ].map((fault) => ({ record, ...fault }));
  });
}

type Found = Omit<Fault, "record">;

function findDownPorts(device: PodDevice, pf: PhysicalFunction | undefined): Found[] {
  const isDown = ({ state }: PodPort) => !state.startsWith("4:");
  const owner = nameOwner(device);
  return device.ports.filter(isDown).map((port) => ({
    level: "problem",
    text: `${owner}: port ${port.number} of ${device.device} is ${nameState(port)}, want ACTIVE`,
    fix: bringUp(device, pf),
  }));
}

function bringUp({ netdev, interface: ifname = "" }: PodDevice, pf: PhysicalFunction | undefined): string {
  if (netdev && !netdev.isEnabled) return inNetns(netdev, `ip link set ${quote(ifname)} up`);
  if (pf && !pf.isEnabled) return `ip link set ${quote(pf.name)} up`;
  const show = pf ? `; "ip link show ${pf.name}" has the link-state of its VFs` : "";
  return `# look at the cable and the switch's port${show}`;
}

function inNetns({ netns }: PodNetdev, command: string): string {
  return `nsenter --net=${quote(netns)} ${command}`;
}

/** A function can have a device for each of its ports, so it is enough that one device has a GID. */
function findAddressesWithoutGid(alike: Devices, { withoutGid, parentDevice }: PodNetdev): Found[] {
  const missing = withoutGid.filter((address) =>
    alike.every(({ netdev }) => netdev?.withoutGid.includes(address))
  );
  if (missing.length === 0) return [];
  const [first] = alike;
  const { interface: ifname, deviceId } = first;
  const names = alike.map(({ device }) => device).join(", ");
  const isSame = parentDevice === deviceId;
  const where = isSame || parentDevice === undefined ? "" : `: ${ifname} belongs to ${parentDevice}`;
  const text = `${names} has no GID for ${missing.join(", ")}, so no connection can use that address${where}`;
  const comment = isSame
    ? "a new one gets a new GID table"
    : `after you have made sure that its network takes ${ifname} from ${deviceId}`;
  return [{
    level: "problem",
    text: `${nameOwner(first)}: ${text}`,
    fix: `${deleteCommand(first)} # ${comment}`.trimStart(),
  }];
}

function findMtu(device: PodDevice, netdev: PodNetdev, pf: PhysicalFunction | undefined): Found[] {
  const { mtu, parentDevice } = netdev;
  if (pf?.mtu === undefined || mtu === undefined || mtu <= pf.mtu || parentDevice !== device.deviceId) {
    return [];
  }
  const set = inNetns(netdev, `ip link set ${quote(device.interface ?? "")} mtu ${pf.mtu}`);
  return [{
    level: "warning",
    text: `${nameOwner(device)} has MTU ${mtu}, but its PF ${pf.name} ${pf.mtu}: larger packets are lost`,
    fix: `${set} # or raise that of ${pf.name}; new pods get what the network says`,
  }];
}

/** Finds why no ADD uses the directory of the records, if it is so. */
export function findStateFault(state: State): Pick<Fault, "text" | "fix"> | undefined {
  const fault = state.findFault();
  const directory = quote(state.directory);
  return fault === undefined ? undefined : {
    text: `${state.directory}: ${fault}, so every ADD fails`,
    fix: `chown 0:0 ${directory} && chmod 0700 ${directory} # find out who has put files there`,
  };
}
