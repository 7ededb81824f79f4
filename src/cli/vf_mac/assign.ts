/** Gives virtual functions addresses, and verifies that their drivers take them. */
import type { NodeKernel, PhysicalFunction } from "../../kernel/node_kernel.ts";
import { NetlinkError } from "../../netlink/error.ts";
import { KEYS } from "../../plugin/config_keys.ts";
import { lockState } from "../../plugin/lock.ts";
import { CommandError } from "../errors.ts";
import type { VfNode } from "./find.ts";
import { isForVirtualMachines, listVfs, nameOf, type VfStatus } from "../../node/functions.ts";
import { formatGuid, matchesMac } from "../../node/addresses.ts";
import { type Rebind, rebindAll } from "./rebind.ts";

/** A MAC address, or on InfiniBand a GUID. */
export type Address = { readonly mac: string } | { readonly guid: bigint };

/** A virtual function and the address to set. */
export interface Assignment {
  readonly pf: PhysicalFunction;
  readonly vf: VfStatus;
  readonly address: Address;
  /** False: its driver is left alone, and takes the address at its next bind. */
  readonly rebind: boolean;
  /** Its driver must create an RDMA device. */
  readonly expectsRdma: boolean;
}

/** An address as "ip link" and "rdma dev" write it. */
export function formatAddress(address: Address): string {
  return "mac" in address ? address.mac : formatGuid(address.guid);
}

/** An address for people, with its kind. */
export function describeAddress(address: Address): string {
  return `${"mac" in address ? "MAC address" : "GUID"} ${formatAddress(address)}`;
}

/**
 * Sets the administrative addresses of virtual functions, rebinds the drivers of those that want it, all at once,
 * and verifies the result. A function for virtual machines is not rebound: the machine takes the address when it starts.
 *
 * @param timeoutMs see {@linkcode rebindAll}
 * @returns for each the virtual function as it is now, or why it does not have the address
 */
export async function assignAddresses(
  kernel: NodeKernel,
  assignments: readonly Assignment[],
  timeoutMs: number,
): Promise<Map<Assignment, VfStatus | Error>> {
  const outcomes = new Map<Assignment, VfStatus | Error>();
  const rebinds = new Map<Assignment, Rebind>();
  for (const assignment of assignments) {
    const refusal = trySet(kernel, assignment);
    if (refusal) outcomes.set(assignment, refusal);
    else if (assignment.rebind && !isForVirtualMachines(assignment.vf.driver)) {
      const { pf, vf, expectsRdma: rdmaDevice } = assignment;
      rebinds.set(assignment, { vf, netdev: !pf.isInfiniBand || vf.netdev !== undefined, rdmaDevice });
    }
  }
  const failures = await rebindAll(kernel, [...rebinds.values()], timeoutMs);

  const pfs = kernel.listPhysicalFunctions();
  const vfs = listVfs(kernel, pfs.filter(({ name }) => assignments.some(({ pf }) => pf.name === name)));
  for (const assignment of assignments) {
    if (outcomes.has(assignment)) continue;
    const rebind = rebinds.get(assignment);
    const failure = rebind && failures.get(rebind);
    outcomes.set(assignment, failure ?? verify(assignment, pfs, vfs, rebind !== undefined));
  }
  return outcomes;
}

/** Whether a function's node GUID, if it has one, matches an address. */
export function matchesGuid({ nodeGuid, driver }: VfStatus, mac: string): boolean {
  return nodeGuid === undefined || matchesMac(BigInt(`0x${nodeGuid.replaceAll(":", "")}`), mac, driver);
}

/**
 * Takes the lock that the plugin holds while it moves devices, so that neither sees the other's work half
 * done.
 *
 * @throws {CniError} when calls of the plugin have it for 100 seconds, or the directory cannot be created
 */
export function lockPlugin({ kernel, state }: VfNode): Disposable {
  state.create();
  return lockState(kernel, state.directory, "vf-mac", KEYS.lockTimeoutMs.default);
}

/** @returns the kernel's refusal */
function trySet(kernel: NodeKernel, { pf, vf, address }: Assignment): NetlinkError | undefined {
  try {
    if ("mac" in address) kernel.setVfMac(pf, vf.number, address.mac);
    else kernel.setVfGuid(pf, vf.number, address.guid);
    return undefined;
  } catch (error) {
    if (error instanceof NetlinkError) return error;
    throw error;
  }
}

function verify(
  { pf, vf, address }: Assignment,
  pfs: readonly PhysicalFunction[],
  vfs: readonly VfStatus[],
  isRebound: boolean,
): VfStatus | CommandError {
  const current = pfs.find(({ name }) => name === pf.name);
  const now = vfs.find(({ deviceId }) => deviceId === vf.deviceId);
  const fault = !current || !now
    ? "it is gone"
    : "mac" in address
    ? findMacFault(current, now, address.mac, isRebound)
    : findGuidFault(now, formatAddress(address), isRebound);
  if (fault === undefined && now) return now;
  return new CommandError(`Cannot make ${nameOf(vf)} take ${describeAddress(address)}: ${fault}`);
}

function findMacFault(
  pf: PhysicalFunction,
  vf: VfStatus,
  mac: string,
  isRebound: boolean,
): string | undefined {
  if (vf.adminMac !== mac) return `its administrative address is ${vf.adminMac}`;
  if (!isRebound) return undefined;
  if (vf.effectiveMac !== undefined && vf.effectiveMac !== mac) {
    const cause = pf.isUp
      ? ""
      : `, and ${pf.name} is down: some drivers take the address only while it is up ` +
        `(ip link set ${pf.name} up)`;
    return `its netdev has ${vf.effectiveMac}${cause}`;
  }
  if (matchesGuid(vf, mac)) return undefined;
  return `${vf.reason ?? "node GUID does not match the MAC address"} (${vf.rdmaDevice} has ${vf.nodeGuid})`;
}

function findGuidFault(vf: VfStatus, guid: string, isRebound: boolean): string | undefined {
  const { adminNodeGuid = guid, adminPortGuid = guid, nodeGuid = guid } = vf; // some drivers do not show them
  if (adminNodeGuid !== guid) return `its administrative node GUID is ${adminNodeGuid}`;
  if (adminPortGuid !== guid) return `its administrative port GUID is ${adminPortGuid}`;
  return isRebound && nodeGuid !== guid ? `its RDMA device ${vf.rdmaDevice} has ${nodeGuid}` : undefined;
}
