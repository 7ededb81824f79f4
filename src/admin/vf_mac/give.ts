import type { AdminKernel } from "../../kernel/admin_kernel.ts";
import type { PhysicalFunction } from "../../kernel/vf_kernel.ts";
import { CommandError } from "../error.ts";
import { nameOf } from "./format.ts";
import { formatGuid } from "./guid.ts";
import { isForVirtualMachines, listVfs, type VfStatus } from "./list.ts";
import { rebind } from "./rebind.ts";

/** What a virtual function is to have: a MAC address, or on InfiniBand a GUID. */
export type Address = { readonly mac: string } | { readonly guid: bigint };

/** An address for people. */
export function formatAddress(address: Address): string {
  return "mac" in address ? `MAC address ${address.mac}` : `GUID ${formatGuid(address.guid)}`;
}

/**
 * Gives a virtual function its administrative address, has its driver take it, and verifies what came of it. A
 * function that is for virtual machines is not rebound: the machine takes the address when it starts.
 *
 * @param timeoutMs see {@linkcode rebind}; undefined leaves the driver as it is
 * @returns the virtual function as it is now
 * @throws {CommandError} when the kernel refuses, the driver does not come back, or the address was not taken
 */
export function give(
  kernel: AdminKernel,
  pf: PhysicalFunction,
  vf: VfStatus,
  address: Address,
  timeoutMs: number | undefined,
): VfStatus {
  if ("mac" in address) kernel.setVfMac(pf, vf.number, address.mac);
  else kernel.setVfGuid(pf, vf.number, address.guid);
  const isRebound = timeoutMs !== undefined && !isForVirtualMachines(vf.driver);
  if (isRebound) rebind(kernel, vf, expectedOf(kernel, pf, vf), timeoutMs);

  const current = kernel.listPhysicalFunctions().find(({ name }) => name === pf.name);
  const now = current && listVfs(kernel, [onlyVf(current, vf.number)])[0];
  const fault = !current || !now
    ? "it is not there any more"
    : "mac" in address
    ? findMacFault(current, now, address.mac, isRebound)
    : findGuidFault(current, now, address.guid, isRebound);
  if (fault !== undefined || !now) {
    throw new CommandError(`Cannot make ${nameOf(vf)} take ${formatAddress(address)}: ${fault}`);
  }
  return now;
}

/** A driver makes an RDMA device if it made one before, or if that of the physical function does. */
function expectedOf(kernel: AdminKernel, pf: PhysicalFunction, vf: VfStatus) {
  const pfHasRdma = (kernel.getBusDevice(pf.deviceId)?.rdmaDevices.length ?? 0) > 0;
  return {
    netdev: !pf.isInfiniBand || vf.netdev !== undefined,
    rdmaDevice: pfHasRdma || vf.rdmaDevice !== undefined,
  };
}

function onlyVf(pf: PhysicalFunction, number: number): PhysicalFunction {
  return { ...pf, vfs: pf.vfs.filter((vf) => vf.number === number) };
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
  if (vf.rdmaDevice === undefined || vf.ready) return undefined;
  return `${vf.reason} (${vf.rdmaDevice} has ${vf.nodeGuid})`;
}

function findGuidFault(
  pf: PhysicalFunction,
  vf: VfStatus,
  guid: bigint,
  isRebound: boolean,
): string | undefined {
  const given = pf.vfs.find(({ number }) => number === vf.number)?.guid;
  if (given !== undefined && given !== guid) return `its administrative GUID is ${formatGuid(given)}`;
  if (!isRebound || vf.nodeGuid === undefined || vf.nodeGuid === formatGuid(guid)) return undefined;
  return `its RDMA device ${vf.rdmaDevice} has ${vf.nodeGuid}`;
}
