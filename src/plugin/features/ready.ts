/** The check that a pod can use the RDMA devices that it has. */
import type { Call } from "../config/config.ts";
import { CniError, ErrorCode } from "../../cni/error.ts";
import {
  FIRST_GIDS,
  type IpAddress,
  isLinkLocal,
  type Kernel,
  nameState,
  type Netns,
  type OpenPorts,
  type Port,
  type RdmaDevice,
  readGids,
} from "../../kernel/kernel.ts";
import { messageOf } from "../../sys/errno.ts";
import { poll } from "../node.ts";
import { type AttachmentRecord, getRecordedDevice } from "../record/record.ts";

/** The findings about a pod's devices. */
interface Findings {
  /** A line for each device. */
  readonly lines: readonly string[];
  /** The reasons why the pod cannot use them. */
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
      found = inspect(call.environment.ifname, pod, record, ports);
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
function inspect(ifname: string, pod: Netns, record: AttachmentRecord, ports: DevicePorts): Findings {
  const devices = record.devices.flatMap((device) => getRecordedDevice(pod, device) ?? []);
  for (const device of devices) ports.open(pod, device);
  let addresses: IpAddress[] | undefined;
  const findMissing = (found: DevicesWithPorts): IpAddress[] => {
    const gids = found.flatMap(([, ports]) => ports).filter(({ isRoce }) => isRoce).map(({ gids }) => gids);
    if (gids.length === 0) return [];
    addresses ??= listAddresses(pod, ifname);
    return addresses.filter((address) => !gids.flat().some(({ gid }) => gid === address.gid));
  };
  const found = readGids<DevicesWithPorts>(
    (gidLimit) => devices.map((device) => [device, ports.list(device, gidLimit)]),
    (found) =>
      !found.some(([, ports]) => ports.some(({ hasMoreGids }) => hasMoreGids)) ||
      findMissing(found).length === 0,
  );
  const missing = findMissing(found).map(({ text }) => text);
  const names = devices.map(({ name }) => name);
  return {
    lines: found.map(([device, ports]) => describeDevice(device, pod.getUverbs(device.index), ports)),
    faults: [
      ...devices.length < record.devices.length ? ["an RDMA device has left the pod"] : [],
      ...found.flatMap(([device, ports]) => findPortFaults(device, ports)),
      // A function can have a device for each of its ports, so it is enough that one device has a GID.
      ...missing.length === 0 ? [] : [
        `RDMA device ${names.join(", ")} has no GID for ${missing.join(", ")}, which interface ${ifname} has`,
      ],
    ],
  };
}

type DevicesWithPorts = readonly (readonly [RdmaDevice, readonly Port[]])[];

/** The addresses of a pod's interface, but for link-local ones, which the kernel makes at some time after the link has come up. */
function listAddresses(pod: Netns, ifname: string): IpAddress[] {
  const link = pod.getLink(ifname);
  return link ? pod.listAddresses(link.index).filter(({ gid }) => !isLinkLocal(gid)) : [];
}

function describeDevice({ name, index }: RdmaDevice, uverbs: string | undefined, ports: readonly Port[]) {
  const parts = [uverbs ? `/dev/infiniband/${uverbs}` : "no uverbs device", ...ports.map(describePort)];
  return `RDMA device ${name} (index ${index}) has ${parts.join("; ")}`;
}

function describePort(port: Port): string {
  const { number, isRoce, gids, hasMoreGids } = port;
  const text = `port ${number}: ${nameState(port)}`;
  if (!isRoce) return text;
  const first = gids.filter(({ index }) => index < FIRST_GIDS);
  const indexes = first.filter(({ isRoceV2 }) => isRoceV2).map(({ index }) => index).join(", ");
  const more = hasMoreGids || first.length < gids.length ? ` among the first ${FIRST_GIDS}` : "";
  return `${text}, RoCE v2 GID indexes${more}: ${indexes || "none"}`;
}

function findPortFaults({ name }: RdmaDevice, ports: readonly Port[]): string[] {
  if (ports.length === 0) return [`RDMA device ${name} shows no port`];
  return ports.filter(({ isActive }) => !isActive).map(({ number, state }) =>
    `port ${number} of RDMA device ${name} is in state ${JSON.stringify(state)}, want "4: ACTIVE"`
  );
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
