/** Gives virtual functions addresses, and verifies that their drivers take them. */
import { NetlinkError } from "../../kernel/kernel.ts";
import type { NodeKernel, PhysicalFunction } from "../../kernel/node_kernel.ts";
import { KEYS } from "../../plugin/config/keys.ts";
import { lockState } from "../../plugin/record/lock.ts";
import { CommandError } from "../errors.ts";
import type { VfNode } from "./find.ts";
import { isForVirtualMachines, listVfs, nameVf, type VfStatus } from "../../node/functions.ts";
import { formatGuid, matchesMac } from "../../node/addresses.ts";
import type { Address, Assignment } from "./plan.ts";
import { rebindAll } from "./rebind.ts";

/** Formats an address as "ip link" and "rdma dev" write it. */
export function formatAddress(address: Address): string {
  return "mac" in address ? address.mac : formatGuid(address.guid);
}

/** Formats an address for people, with its kind. */
export function describeAddress(address: Address): string {
  return `${"mac" in address ? "MAC address" : "GUID"} ${formatAddress(address)}`;
}

/**
 * Sets the administrative addresses of virtual functions, rebinds the drivers of those that want it, all at once,
 * and verifies the result: each is as it is now, or has a failure. A function for virtual machines is not rebound: the
 * machine takes the address when it starts.
 *
 * @param timeoutMs see {@linkcode rebindAll}
 */
export async function assignAddresses(
  kernel: NodeKernel,
  assignments: readonly Assignment[],
  timeoutMs: number,
): Promise<void> {
  for (const assignment of assignments) trySet(kernel, assignment);
  await rebindAll(kernel, assignments.filter((one) => !one.failure && isRebound(one)), timeoutMs);

  const pfs = kernel.listPhysicalFunctions();
  const vfs = listVfs(kernel, pfs.filter(({ name }) => assignments.some(({ pf }) => pf.name === name)));
  for (const assignment of assignments) if (!assignment.failure) verify(assignment, pfs, vfs);
}

/** Tells whether the driver of a function is bound again. */
export function isRebound({ rebind, vf }: Pick<Assignment, "rebind" | "vf">): boolean {
  return rebind && !isForVirtualMachines(vf.driver);
}

/** Tells whether a function's node GUID, if it has one, matches an address. */
export function matchesGuid({ nodeGuid, driver }: VfStatus, mac: string): boolean {
  return nodeGuid === undefined || matchesMac(BigInt(`0x${nodeGuid.replaceAll(":", "")}`), mac, driver);
}

/**
 * Takes the lock that the plugin holds while it moves devices, so that neither sees the other's work half done.
 *
 * @throws {CniError} when calls of the plugin have it for 100 seconds, or the directory cannot be created
 */
export function lockPlugin({ kernel, state }: VfNode): Disposable {
  state.create();
  return lockState(kernel, state.directory, "vf-mac", KEYS.lockTimeoutMs.default);
}

function trySet(kernel: NodeKernel, assignment: Assignment): void {
  const { pf, vf, address } = assignment;
  try {
    if ("mac" in address) kernel.setVfMac(pf, vf.number, address.mac);
    else kernel.setVfGuid(pf, vf.number, address.guid);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    assignment.failure = error;
  }
}

function verify(assignment: Assignment, pfs: readonly PhysicalFunction[], vfs: readonly VfStatus[]): void {
  const { pf, vf, address } = assignment;
  const current = pfs.find(({ name }) => name === pf.name);
  const now = vfs.find(({ deviceId }) => deviceId === vf.deviceId);
  const fault = !current || !now
    ? "it is gone"
    : "mac" in address
    ? findMacFault(current, now, address.mac, isRebound(assignment))
    : findGuidFault(now, formatAddress(address), isRebound(assignment));
  if (now) assignment.vf = now;
  if (fault === undefined) return;
  const message = `Cannot make ${nameVf(vf)} take ${describeAddress(address)}: ${fault}`;
  assignment.failure = new CommandError(message);
}

function findMacFault(
  pf: PhysicalFunction,
  vf: VfStatus,
  mac: string,
  wasRebound: boolean,
): string | undefined {
  if (vf.adminMac !== mac) return `its administrative address is ${vf.adminMac}`;
  if (!wasRebound) return undefined;
  if (vf.effectiveMac !== undefined && vf.effectiveMac !== mac) {
    const fault = `its netdev has ${vf.effectiveMac}`;
    if (pf.isUp) return fault;
    return `${fault}, and ${pf.name} is down: some drivers take the address only while it is up ` +
      `(ip link set ${pf.name} up)`;
  }
  if (matchesGuid(vf, mac)) return undefined;
  return `${vf.reason ?? "node GUID does not match the MAC address"} (${vf.rdmaDevice} has ${vf.nodeGuid})`;
}

function findGuidFault(vf: VfStatus, guid: string, wasRebound: boolean): string | undefined {
  const { adminNodeGuid = guid, adminPortGuid = guid, nodeGuid = guid } = vf; // some drivers do not show them
  if (adminNodeGuid !== guid) return `its administrative node GUID is ${adminNodeGuid}`;
  if (adminPortGuid !== guid) return `its administrative port GUID is ${adminPortGuid}`;
  return wasRebound && nodeGuid !== guid ? `its RDMA device ${vf.rdmaDevice} has ${nodeGuid}` : undefined;
}
