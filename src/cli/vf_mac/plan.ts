/** The virtual functions that need an administrative address, and the addresses. No I/O. */
import type { PhysicalFunction } from "../../kernel/node_kernel.ts";
import { CommandError } from "../errors.ts";
import { findHolder } from "./find.ts";
import {
  isForVirtualMachines,
  nameVf,
  NO_ADMIN_ADDRESS,
  NO_RDMA_DEVICE,
  type VfStatus,
} from "../../node/functions.ts";
import { deriveMac, NO_MAC } from "../../node/addresses.ts";

/** A MAC address, or on InfiniBand a GUID. */
export type Address = { readonly mac: string } | { readonly guid: bigint };

/** A virtual function, the address that it is to get, and the failure if it does not. */
export interface Assignment {
  readonly pf: PhysicalFunction;
  /** The function as it was last seen. */
  vf: VfStatus;
  readonly address: Address;
  /** The reason that it needs one. */
  readonly need: string;
  /** False: its driver is left alone, and takes the address at its next bind. */
  rebind: boolean;
  /** Its driver must create an RDMA device. */
  expectsRdma: boolean;
  /** The reason that it cannot have the address, or does not have it. */
  failure?: Error;
}

/**
 * Returns why a virtual function that is not ready needs an address, or undefined when that would change nothing. A bound
 * driver without RDMA device would make none the next time; one that is not bound may, if others of its kind did.
 */
export function findNeed(
  { driver, reason, netdevNetns, rdmaNetns }: VfStatus,
  isRdmaPf: boolean,
): string | undefined {
  // It works in the pod that has it, and gets the address when it is back.
  if (reason === NO_ADMIN_ADDRESS && (netdevNetns ?? rdmaNetns) !== undefined) return undefined;
  if (driver === undefined) return isRdmaPf ? reason : undefined;
  return isForVirtualMachines(driver) || reason === NO_RDMA_DEVICE ? undefined : reason;
}

/** The virtual functions to plan for. */
export interface PlanOptions {
  /** Netdevs of the physical functions. */
  readonly names: readonly string[];
  /** Those of them whose drivers create RDMA devices on this node. */
  readonly rdmaPfs: readonly string[];
  /** PCI addresses of virtual functions that are included even if the host uses them. */
  readonly forced: readonly string[];
}

/**
 * Chooses the address that a virtual function should have: its administrative one; else its effective one if that is
 * permanent, or was the administrative one when its driver was bound; else one derived from its physical function's.
 * Some drivers (igb) report a function's random address as its administrative one; that does not count.
 *
 * @returns undefined when it would be derived, but the physical function has no permanent address
 */
export function chooseMac(pf: PhysicalFunction, vf: VfStatus): string | undefined {
  const isEcho = vf.hasRandomMac && vf.adminMac === vf.effectiveMac;
  if (vf.adminMac !== NO_MAC && !isEcho) return vf.adminMac;
  const isOwn = vf.hasPermanentMac || vf.reason === NO_ADMIN_ADDRESS;
  if (isOwn && vf.effectiveMac !== undefined && vf.effectiveMac !== NO_MAC) return vf.effectiveMac;
  return pf.permanentAddress === undefined ? undefined : deriveMac(pf.permanentAddress, vf.number);
}

/**
 * Plans the address of each virtual function that needs one and that the host does not use.
 *
 * @param pfs all physical functions of the node, since addresses must be unique
 * @param vfs all virtual functions of the node
 */
export function planAddresses(
  pfs: readonly PhysicalFunction[],
  vfs: readonly VfStatus[],
  { names, rdmaPfs, forced }: PlanOptions,
): Assignment[] {
  const planned: VfStatus[] = [];
  return vfs.filter((vf) => names.includes(vf.pf)).flatMap((vf): Assignment[] => {
    const pf = pfs.find(({ name }) => name === vf.pf);
    const need = findNeed(vf, rdmaPfs.includes(vf.pf));
    if (!pf || need === undefined) return [];
    if (vf.usedByHost !== undefined && !forced.includes(vf.deviceId)) return [];
    const mac = chooseMac(pf, vf);
    const owner = mac === undefined ? undefined : findHolder(mac, pfs, [...vfs, ...planned], vf);
    const obstacle = mac === undefined
      ? `the kernel knows no permanent address of ${pf.name}`
      : owner && `${owner} has ${mac}`;
    if (mac !== undefined && owner === undefined) planned.push({ ...vf, adminMac: mac });
    const failure = obstacle && new CommandError(`Cannot give ${nameVf(vf)} an address: ${obstacle}`);
    return [{
      ...{ pf, vf, need, address: { mac: mac ?? NO_MAC } },
      rebind: vf.reason !== NO_ADMIN_ADDRESS,
      expectsRdma: vf.rdmaDevice !== undefined,
      ...(failure ? { failure } : {}),
    }];
  });
}
