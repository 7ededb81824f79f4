/** The fate of an attachment and its devices, as far as the node shows it. `gc`, `doctor` and `pods` say the same. */
import type { RdmaDevice } from "../kernel/kernel.ts";
import { isClaim, isNewer } from "../plugin/record/claims.ts";
import { countAway } from "../plugin/device/device.ts";
import { isSameNetns } from "../plugin/record/namespaces.ts";
import type { AttachmentRecord, RecordedDevice } from "../plugin/record/record.ts";
import type { StoredRecord } from "../plugin/record/state.ts";
import { type Inventory, type Namespace, pathTo } from "./inventory.ts";

/**
 * "present": the pod has its devices. "missing": its namespace is there, without a device. "held": the path of its
 * namespace has gone, but something keeps the namespace alive. "stale": it has gone, and its devices are on the host, or
 * another attachment's: `gc` removes the record. "lost": it has gone, and a device is in another namespace.
 */
export type FateState = "present" | "missing" | "held" | "stale" | "lost";

export interface Fate {
  readonly state: FateState;
  /** The reason; of a present one there is nothing to say. */
  readonly reason: string;
  /** The attachment's namespace, as long as it lives. */
  readonly namespace?: Namespace;
  /** The way out: a command, or advice for people. */
  readonly remedy?: string;
}

const RECREATE = "delete the pod, so that it is recreated with its RDMA device";

/**
 * Judges a record by what the node shows.
 *
 * @param program the command that starts this program, for remedies
 */
export function judge(inventory: Inventory, record: StoredRecord, program: string): Fate {
  const stale = (reason: string): Fate => ({ state: "stale", reason, remedy: `${program} gc` });
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
    const who = record.attachment ? `container ${record.attachment.containerID}` : "a container";
    const reason = `${names} of ${record.deviceId} not in ${pathTo(namespace)}, where ${who} expects it`;
    return { state: "missing", reason, namespace, remedy: RECREATE };
  }
  const what = missing.length === 0 ? "with the pod's devices in it" : `without ${names}`;
  return {
    state: "held",
    reason: `${path} has gone, but something keeps the namespace alive, ${what}`,
    namespace,
    remedy: `if its pod has been deleted, end what is left of it: ${endCommand(namespace)}`,
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
      remedy: `unless another program put it there, end that namespace: ${endCommand(where)}`,
    };
  }
  return {
    state: "lost",
    reason: `${gone}, and ${what} a namespace that no path, process or open file leads to`,
    remedy: "it returns to the host when that namespace ends; otherwise rebind its function or reboot",
  };
}

/** The namespace of a record. One of the Go plugin does not say, so it is the one that has a device of the function. */
function findNamespace(inventory: Inventory, record: AttachmentRecord): Namespace | undefined {
  const { netns } = record;
  if (netns) return inventory.namespaces.find((one) => isSameNetns(one, netns));
  if (inventory.mode !== "exclusive") return undefined;
  const uverbs = inventory.functions.get(record.deviceId)?.uverbs.map(({ name }) => name) ?? [];
  return inventory.namespaces.find(({ devices }) =>
    devices.some((device) => device.uverbs !== undefined && uverbs.includes(device.uverbs))
  );
}

/** Tells whether a device is a recorded one: by its index, or by its name in the pod where no index is recorded. */
function isRecordedAs({ index, podName }: RecordedDevice): (device: RdmaDevice) => boolean {
  return (device) => index === undefined ? device.name === podName : device.index === index;
}

/** Tells whether a namespace has a recorded device. */
export function hasDevice({ devices }: Namespace, recorded: RecordedDevice): boolean {
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
