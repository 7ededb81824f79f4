import type { NodeKernel, PhysicalFunction } from "../../kernel/kernel.ts";
import { NetlinkError } from "../../netlink/error.ts";
import { takeLock } from "../../plugin/node.ts";
import { CommandError } from "../errors.ts";
import type { VfNode } from "./find.ts";
import { isForVirtualMachines, listVfs, nameOf, type VfStatus } from "./list.ts";
import { fitsMac, formatGuid } from "./mac.ts";
import { type Rebind, rebindAll } from "./rebind.ts";

/** What a virtual function is to have: a MAC address, or on InfiniBand a GUID. */
export type Address = { readonly mac: string } | { readonly guid: bigint };

/** A virtual function and what it is to have. */
export interface Assignment {
  readonly pf: PhysicalFunction;
  readonly vf: VfStatus;
  readonly address: Address;
  /** Its driver must make an RDMA device. */
  readonly expectsRdma: boolean;
}

/** An address for people. */
export function formatAddress(address: Address): string {
  return "mac" in address ? `MAC address ${address.mac}` : `GUID ${formatGuid(address.guid)}`;
}

/**
 * Gives virtual functions their administrative addresses, has their drivers take them, side by side, and verifies what
 * came of it. A function that is for virtual machines is not rebound: the machine takes the address when it starts.
 *
 * @param timeoutMs see {@linkcode rebindAll}; undefined leaves the drivers as they are
 * @returns for each the virtual function as it is now, or what the kernel refused, or what its driver did not do
 */
export async function give(
  kernel: NodeKernel,
  assignments: readonly Assignment[],
  timeoutMs: number | undefined,
): Promise<Map<Assignment, VfStatus | Error>> {
  const outcomes = new Map<Assignment, VfStatus | Error>();
  const rebinds = new Map<Assignment, Rebind>();
  for (const assignment of assignments) {
    const refusal = order(kernel, assignment);
    if (refusal) outcomes.set(assignment, refusal);
    else if (timeoutMs !== undefined && !isForVirtualMachines(assignment.vf.driver)) {
      const { pf, vf, expectsRdma: rdmaDevice } = assignment;
      rebinds.set(assignment, { vf, netdev: !pf.isInfiniBand || vf.netdev !== undefined, rdmaDevice });
    }
  }
  const failures = await rebindAll(kernel, [...rebinds.values()], timeoutMs ?? 0);

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

/** @returns the kernel's refusal */
function order(kernel: NodeKernel, { pf, vf, address }: Assignment): NetlinkError | undefined {
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
    ? "it is not there any more"
    : "mac" in address
    ? findMacFault(current, now, address.mac, isRebound)
    : findGuidFault(now, formatGuid(address.guid), isRebound);
  if (fault === undefined && now) return now;
  return new CommandError(`Cannot make ${nameOf(vf)} take ${formatAddress(address)}: ${fault}`);
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
  if (hasGuidOf(vf, mac)) return undefined;
  return `${vf.reason ?? "node GUID does not fit the MAC address"} (${vf.rdmaDevice} has ${vf.nodeGuid})`;
}

/** Whether a function's node GUID can be that of an address; so it is if it has none. */
export function hasGuidOf({ nodeGuid, driver }: VfStatus, mac: string): boolean {
  return nodeGuid === undefined || fitsMac(BigInt(`0x${nodeGuid.replaceAll(":", "")}`), mac, driver);
}

function findGuidFault(vf: VfStatus, guid: string, isRebound: boolean): string | undefined {
  const { adminNodeGuid = guid, adminPortGuid = guid, nodeGuid = guid } = vf; // not all drivers show them
  if (adminNodeGuid !== guid) return `its administrative node GUID is ${adminNodeGuid}`;
  if (adminPortGuid !== guid) return `its administrative port GUID is ${adminPortGuid}`;
  return isRebound && nodeGuid !== guid ? `its RDMA device ${vf.rdmaDevice} has ${nodeGuid}` : undefined;
}

/**
 * Takes the lock that the plugin holds while it moves devices, so that neither sees the other's work half done.
 *
 * @throws {CniError} when a call of the plugin has it for 30 seconds, or the directory cannot be made
 */
export function lockPlugin({ kernel, state }: VfNode): Disposable {
  state.create();
  return takeLock(kernel, state.directory);
}
