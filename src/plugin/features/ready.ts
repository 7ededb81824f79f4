/** Whether a pod can use the RDMA devices that it has. */
import type { Call } from "../config/config.ts";
import { CniError, ErrorCode } from "../../cni/error.ts";
import type { Kernel, Netns, OpenPorts, Port, RdmaDevice } from "../../kernel/kernel.ts";
import { messageOf } from "../../sys/errno.ts";
import { poll } from "../node.ts";
import { type AttachmentRecord, getRecordedDevice } from "../record/record.ts";

/** Enough for the addresses of most pods. Reading a whole table takes longer than the plugin may need. */
const FIRST_GIDS = 16;

/** What was found of a pod's devices. */
interface Findings {
  /** A line for each device. */
  readonly lines: readonly string[];
  /** What keeps the pod from using them. */
  readonly faults: readonly string[];
}

/**
 * The ports of devices, by the devices' indexes. Those of a device that is about to move are opened on the host, whose
 * sysfs is there: to mount one of the pod and to take it down again lasts longer than all the rest.
 */
export class DevicePorts implements Disposable {
  readonly #open = new Map<number, OpenPorts>();

  open(netns: Netns, { index, name }: RdmaDevice): void {
    const ports = this.#open.has(index) ? undefined : netns.openPorts(name);
    if (ports) this.#open.set(index, ports);
  }

  list({ index }: RdmaDevice, gidLimit: number): Port[] {
    return this.#open.get(index)?.list(gidLimit) ?? [];
  }

  [Symbol.dispose](): void {
    for (const ports of this.#open.values()) ports[Symbol.dispose]();
  }
}

/** What the devices' ports are now, given how many entries of each GID table to read. */
type ListPorts = (gidLimit: number) => ReadonlyMap<RdmaDevice, readonly Port[]>;

/**
 * Logs the state of the devices that an attachment has in the pod: their uverbs device, ports and RoCE v2 GIDs. A port
 * that is not active, and an address of the pod's interface that no RoCE device has a GID for, are warnings. With
 * `requireActive` they are an error once `readyTimeoutMs` are over.
 *
 * @throws {CniError} code 116
 */
export function requireReady(
  call: Call,
  kernel: Kernel,
  pod: Netns,
  record: AttachmentRecord,
  ports: DevicePorts,
): void {
  const { config, log } = call;
  const timeoutMs = config.requireActive ? config.readyTimeoutMs : 0;
  let found: Findings = { lines: [], faults: [] };
  try {
    poll(kernel, timeoutMs, () => {
      found = inspect(call, pod, record, ports);
      return found.faults.length === 0 || undefined;
    });
  } catch (cause) {
    const reason = `the state of the pod's RDMA devices cannot be read: ${messageOf(cause)}`;
    if (!config.requireActive) return log.debug(reason);
    throw notReady(pod, timeoutMs, [reason], cause);
  }
  for (const line of found.lines) log.info(line);
  if (config.requireActive && found.faults.length > 0) throw notReady(pod, timeoutMs, found.faults);
  for (const fault of found.faults) log.warning(fault);
}

/** While it waits, a DEL can have taken the devices away. */
function inspect(call: Call, pod: Netns, record: AttachmentRecord, ports: DevicePorts): Findings {
  const devices = record.devices.flatMap((device) => getRecordedDevice(pod, device) ?? []);
  for (const device of devices) ports.open(pod, device);
  const listPorts = (gidLimit: number) =>
    new Map(devices.map((device) => [device, ports.list(device, gidLimit)]));
  const first = listPorts(FIRST_GIDS);
  return {
    lines: devices.map((device) => describeDevice(device, pod.getUverbs(device.index), first.get(device)!)),
    faults: [
      ...devices.length < record.devices.length ? ["an RDMA device has left the pod"] : [],
      ...devices.flatMap((device) => findPortFaults(device, first.get(device)!)),
      ...findGidFaults(call, pod, first, listPorts),
    ],
  };
}

function describeDevice({ name, index }: RdmaDevice, uverbs: string | undefined, ports: readonly Port[]) {
  const parts = [uverbs ? `/dev/infiniband/${uverbs}` : "no uverbs device", ...ports.map(describePort)];
  return `RDMA device ${name} (index ${index}) has ${parts.join("; ")}`;
}

function describePort({ number, state, isRoce, gids, hasMoreGids }: Port): string {
  if (!isRoce) return `port ${number} ${state}`;
  const indexes = gids.filter(({ isRoceV2 }) => isRoceV2).map(({ index }) => index).join(", ");
  const more = hasMoreGids ? ` among the first ${FIRST_GIDS}` : "";
  return `port ${number} ${state}, RoCE v2 GID indexes${more}: ${indexes || "none"}`;
}

function findPortFaults({ name }: RdmaDevice, ports: readonly Port[]): string[] {
  if (ports.length === 0) return [`RDMA device ${name} shows no port`];
  return ports.filter(({ isActive }) => !isActive).map(({ number, state }) =>
    `port ${number} of RDMA device ${name} is in state ${JSON.stringify(state)}, want "4: ACTIVE"`
  );
}

/** fe80::/10. */
const LINK_LOCAL = /^fe[89ab]/;

/**
 * A function can have a device for each of its ports, so it is enough that one device has a GID. Link-local addresses do
 * not count: the kernel makes them by itself, at some time after the link has come up.
 */
function findGidFaults(
  call: Call,
  pod: Netns,
  ports: ReturnType<ListPorts>,
  listPorts: ListPorts,
): string[] {
  const { ifname } = call.environment;
  const roce = [...ports.values()].flat().filter(({ isRoce }) => isRoce);
  const link = roce.length > 0 ? pod.getLink(ifname) : undefined;
  if (!link) return [];
  const addresses = pod.listAddresses(link.index).filter(({ gid }) => !LINK_LOCAL.test(gid));
  const gids = new Set(roce.flatMap(({ gids }) => gids).map(({ gid }) => gid));
  const missing = addresses.filter(({ gid }) => !gids.has(gid)).map(({ text }) => text);
  if (missing.length === 0) return [];
  if (roce.some(({ hasMoreGids }) => hasMoreGids)) {
    return findGidFaults(call, pod, listPorts(Infinity), listPorts);
  }
  const names = [...ports.keys()].map(({ name }) => name).join(", ");
  return [`RDMA device ${names} has no GID for ${missing.join(", ")}, which interface ${ifname} has`];
}

function notReady(pod: Netns, timeoutMs: number, faults: readonly string[], cause?: unknown): CniError {
  const waited = timeoutMs > 0 ? ` after ${timeoutMs} ms` : "";
  return new CniError(
    ErrorCode.deviceNotReady,
    `Cannot use RDMA in ${JSON.stringify(pod.path)}${waited}: ${faults.join("; ")}`,
    'the link, or the address, may come later: "readyTimeoutMs" waits for it; without "requireActive" this is a warning',
    { cause },
  );
}
