/** The fate of an attachment and its devices, as far as the node shows it. `gc`, `doctor` and `pods` say the same. */
import type { RdmaDevice } from "../kernel/kernel.ts";
import { isClaim, isNewer } from "../plugin/record/claims.ts";
import { countAway } from "../plugin/device/device.ts";
import { isSameNetns } from "../plugin/record/namespaces.ts";
import type { Attachment, AttachmentRecord, RecordedDevice } from "../plugin/record/record.ts";
import type { StoredRecord } from "../plugin/record/state.ts";
import { type Inventory, type Namespace, pathTo } from "./inventory.ts";

/**
 * "present": the pod has its devices. "missing": its namespace is there, without a device. "held": the path of its
 * namespace has gone, but something keeps the namespace alive. "stale": it has gone, and its devices are on the host, or
 * another attachment's: `gc` removes the record. "lost": it has gone, and a device is in another namespace. "unknown":
 * not all processes of the node can be seen, so it may have gone or not.
 */
export type FateState = "present" | "missing" | "held" | "stale" | "lost" | "unknown";

export interface Fate {
  readonly state: FateState;
  /** The reason; of a present one there is nothing to say. */
  readonly reason: string;
  /** The attachment's namespace, as long as it lives. */
  readonly namespace?: Namespace;
  /** The way out: a command of the shell, or a comment of the shell. */
  readonly remedy?: string;
}

/** The attachment of a record, as far as that says. */
export interface Owner {
  /** The name of the record's file. */
  readonly record: string;
  /** Of the Kubernetes pod, if the record has it. */
  readonly namespace?: string;
  readonly pod?: string;
  readonly containerId?: string;
  readonly interface?: string;
  readonly network?: string;
}

/** Returns the attachment of a record. */
export function ownerOf(record: StoredRecord): Owner {
  const { file, pod } = record;
  const attachment = record.attachment ?? parseFileName(file);
  return {
    record: file,
    ...(pod ? { namespace: pod.namespace, pod: pod.name } : {}),
    ...(attachment
      ? { containerId: attachment.containerID, interface: attachment.ifname, network: attachment.network }
      : {}),
  };
}

/** A record of version 1.0 has the attachment in its name alone, where it is certain only if the container ID is long. */
function parseFileName(file: string): Attachment | undefined {
  const [, network, containerID, ifname] = /^(.+)-([0-9a-f]{64})-(.+)$/.exec(file) ?? [];
  return network && containerID && ifname ? { network, containerID, ifname } : undefined;
}

/** Names an attachment for people: `team-a/trainer-0 net1`. */
export function nameOwner({ record, namespace, pod, containerId, interface: ifname }: Owner): string {
  const who = pod !== undefined
    ? `${namespace}/${pod}`
    : containerId === undefined
    ? record
    : `container ${containerId.slice(0, 12)}`;
  return ifname === undefined ? who : `${who} ${ifname}`;
}

/** Returns the command that deletes a pod, whose sandbox is the container. */
export function deleteCommand({ namespace, pod, containerId }: Owner): string {
  if (pod !== undefined) return `kubectl -n ${quote(`${namespace}`)} delete pod ${quote(pod)}`;
  return containerId === undefined ? "" : `crictl rmp --force ${quote(containerId)}`;
}

/**
 * Judges a record by what the node shows.
 *
 * @param program the command that starts this program, for remedies
 */
export function judge(inventory: Inventory, record: StoredRecord, program: string): Fate {
  const stale = (reason: string): Fate =>
    inventory.isComplete ? { state: "stale", reason, remedy: `${program} gc` } : {
      state: "unknown",
      reason: `${reason}, but not all processes can be seen`,
      remedy: "# run it as root on the node itself; in a container it takes the host's PID namespace",
    };
  const { netns, bootId, deviceId } = record;
  if (bootId !== undefined && bootId !== inventory.bootId) return stale("it is from before the last boot");
  const namespace = findNamespace(inventory, record);
  // A namespace that no record names is not certain, so one that another record names goes before it.
  const owner = namespace && netns || record.softRoce ? undefined : findOwner(inventory, record);
  if (owner) return stale(`${owner.file} has ${deviceId} by now`);
  if (namespace) return judgeLiving(namespace, record);

  const [lost] = listAway(inventory, record);
  if (lost) return judgeLost(inventory, record, lost);
  if (netns) return stale(`${netns.path} has gone`);
  return stale(
    inventory.functions.has(deviceId)
      ? `the devices of ${deviceId} are in the host namespace`
      : `${deviceId} is on no bus`,
  );
}

function judgeLiving(namespace: Namespace, record: StoredRecord): Fate {
  const missing = record.devices.filter((device) => !hasDevice(namespace, device));
  const names = missing.map(({ podName }) => podName).join(", ");
  const { path } = record.netns ?? {};
  if (path === undefined || leadsTo(namespace, path)) {
    if (missing.length === 0) return { state: "present", reason: "", namespace };
    const owner = ownerOf(record);
    const reason = `${names} of ${record.deviceId} not in ${pathTo(namespace)}, where ${
      nameOwner(owner)
    } expects it`;
    return {
      state: "missing",
      reason,
      namespace,
      remedy: `${deleteCommand(owner)} # what creates it again gives it its RDMA device`.trimStart(),
    };
  }
  const what = missing.length === 0 ? "with the pod's devices in it" : `without ${names}`;
  return {
    state: "held",
    reason: `${path} has gone, but something keeps the namespace alive, ${what}`,
    namespace,
    remedy: `${endCommand(namespace)} # if its pod has been deleted`,
  };
}

function judgeLost(inventory: Inventory, { netns, deviceId }: StoredRecord, lost: RecordedDevice): Fate {
  const gone = netns ? `${netns.path} has gone` : "its namespace is not recorded";
  const where = inventory.namespaces.find((one) => hasDevice(one, lost));
  const what = `${lost.podName} of ${deviceId} is in`;
  if (where) {
    return {
      state: "lost",
      reason: `${gone}, and ${what} ${pathTo(where)}`,
      remedy: `${endCommand(where)} # unless another program put it there`,
    };
  }
  return {
    state: "lost",
    reason: `${gone}, and ${what} a namespace that no path, process or open file leads to`,
    remedy: rebindCommand(deviceId),
  };
}

/** The command that makes the devices of a function anew, on the host, wherever they are. */
export function rebindCommand(deviceId: string | undefined): string {
  if (deviceId === undefined || !/^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(deviceId)) {
    return "reboot # or wait: it returns to the host when that namespace ends";
  }
  return `echo ${deviceId} > /sys/bus/pci/devices/${deviceId}/driver/unbind; ` +
    `echo ${deviceId} > /sys/bus/pci/drivers_probe # or wait: it returns to the host when that namespace ends`;
}

/** Returns the namespace of a record. One of the Go plugin does not say, so it is the one that has a device of the function. */
export function findNamespace(inventory: Inventory, record: AttachmentRecord): Namespace | undefined {
  const { netns } = record;
  if (netns) return inventory.namespaces.find((one) => isSameNetns(one, netns));
  if (inventory.mode !== "exclusive") return undefined;
  const uverbs = inventory.functions.get(record.deviceId)?.uverbs.map(({ name }) => name) ?? [];
  return inventory.namespaces.find(({ devices }) =>
    devices.some((device) => device.uverbs !== undefined && uverbs.includes(device.uverbs))
  );
}

/** Tells whether a device is a recorded one: by its index, or by its name in the pod where no index is recorded. */
export function isRecordedAs({ index, podName }: RecordedDevice): (device: RdmaDevice) => boolean {
  return (device) => index === undefined ? device.name === podName : device.index === index;
}

/** Tells whether a namespace has a recorded device. */
function hasDevice({ devices }: Namespace, recorded: RecordedDevice): boolean {
  return devices.some(isRecordedAs(recorded));
}

/** The other attachment that has the function, as DEL finds it (plugin/restore.ts, findOwner). */
function findOwner(inventory: Inventory, record: StoredRecord): StoredRecord | undefined {
  const isAlive = (claim: AttachmentRecord) => findNamespace(inventory, claim) !== undefined;
  return inventory.records.find((claim) =>
    isClaim(claim, record, inventory.bootId) && isNewer(claim, record, isAlive)
  );
}

/** The recorded devices that are neither on the host nor gone with their driver; see plugin/restore.ts, locate. */
function listAway(inventory: Inventory, { softRoce, deviceId, devices }: StoredRecord): RecordedDevice[] {
  if (inventory.mode !== "exclusive") return [];
  const away = devices.filter((recorded) => !inventory.hostDevices.some(isRecordedAs(recorded)));
  if (softRoce) return away.filter(({ podName }) => inventory.deviceNames.includes(podName));
  const bus = inventory.functions.get(deviceId);
  return bus && countAway(bus) > 0 ? away : [];
}

/** Tells whether the recorded path still leads to a namespace; in a container mounts of the host are below /proc/PID/root. */
function leadsTo({ paths, processes }: Namespace, path: string): boolean {
  if (paths.some((one) => one.replace(/^\/proc\/\d+\/root(?=\/)/, "") === path)) return true;
  const [, pid] = /^\/proc\/(\d+)\/ns\/net$/.exec(path) ?? [];
  return processes.some((process) => !process.onlyOpen && process.pid === Number(pid));
}

/** The commands that end a namespace, so that the kernel returns its devices. */
export function endCommand({ paths: [path], processes }: Namespace): string {
  const kill = processes.length > 0 ? [`kill ${processes.map(({ pid }) => pid).join(" ")}`] : [];
  return [...kill, ...unmountCommand(path)].join("; ");
}

/** A mount of another mount namespace must be unmounted there. */
function unmountCommand(path: string | undefined): string[] {
  if (path === undefined) return [];
  const [, pid, inside] = /^\/proc\/(\d+)\/root(\/.+)$/.exec(path) ?? [];
  return pid !== undefined && inside !== undefined
    ? [`nsenter -t ${pid} -m umount ${quote(inside)}`]
    : [`umount ${quote(path)}`];
}

/** Quotes a path as a word of a shell command, where it needs that. */
export function quote(path: string): string {
  return /^[\w./:@+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
