/** Which virtual functions need an administrative address, and which one. No I/O. */
import type { PhysicalFunction } from "../../kernel/node_kernel.ts";
import { findOwner } from "./find.ts";
import {
  isForVirtualMachines,
  NO_ADMIN_ADDRESS,
  NO_RDMA_DEVICE,
  type VfStatus,
} from "../../node/functions.ts";
import { deriveMac, NO_MAC } from "../../node/addresses.ts";

/** What to do with a virtual function. */
export interface Step {
  readonly pf: PhysicalFunction;
  readonly vf: VfStatus;
  /** Why. */
  readonly need: string;
  /** The address that it gets, or what prevents it. */
  readonly mac: string | { readonly obstacle: string };
}

/**
 * Why a virtual function that is not ready needs an address, or undefined when that would change nothing. A bound
 * driver that created no RDMA device would create none the next time either. A function without driver may
 * get one if functions of its kind have RDMA devices.
 */
export function findNeed({ driver, reason }: VfStatus, isRdmaPf: boolean): string | undefined {
  if (driver === undefined) return isRdmaPf ? reason : undefined;
  return isForVirtualMachines(driver) || reason === NO_RDMA_DEVICE ? undefined : reason;
}

/** Which virtual functions to plan for. */
export interface PlanOptions {
  /** Netdevs of the physical functions. */
  readonly names: readonly string[];
  /** Those of them whose drivers create RDMA devices on this node. */
  readonly rdmaPfs: readonly string[];
  /** PCI addresses of virtual functions that are included even if the host uses them. */
  readonly forced: readonly string[];
}

/**
 * The address that a virtual function should have: its administrative one; else its effective one if that is
 * permanent, or was the administrative one when its driver was bound; else one derived from its physical function's. Some drivers (igb) report a function's random
 * address as its administrative one; that does not count.
 *
 * @returns undefined when it would be derived, but the physical function has no permanent address
 */
export function chooseMac(pf: PhysicalFunction, vf: VfStatus): string | undefined {
  const isEcho = vf.hasRandomMac && vf.adminMac === vf.effectiveMac;
  if (vf.adminMac !== NO_MAC && !isEcho) return vf.adminMac;
  const isOwn = vf.hasPermanentMac || vf.reason === NO_ADMIN_ADDRESS;
  if (isOwn && vf.effectiveMac !== undefined && vf.effectiveMac !== NO_MAC) {
    return vf.effectiveMac;
  }
  return pf.permanentAddress === undefined ? undefined : deriveMac(pf.permanentAddress, vf.number);
}

/**
 * Plans a step for each virtual function that needs an address and that the host does not use.
 *
 * @param pfs all physical functions of the node, since addresses must be unique
 * @param vfs all virtual functions of the node
 */
export function planSteps(
  pfs: readonly PhysicalFunction[],
  vfs: readonly VfStatus[],
  { names, rdmaPfs, forced }: PlanOptions,
): Step[] {
  const planned: VfStatus[] = [];
  return vfs.filter((vf) => names.includes(vf.pf)).flatMap((vf): Step[] => {
    const pf = pfs.find(({ name }) => name === vf.pf);
    const need = findNeed(vf, rdmaPfs.includes(vf.pf));
    if (!pf || need === undefined) return [];
    if (vf.usedByHost !== undefined && !forced.includes(vf.deviceId)) return [];
    const mac = chooseMac(pf, vf);
    if (mac === undefined) {
      return [{ pf, vf, need, mac: { obstacle: `the kernel knows no permanent address of ${pf.name}` } }];
    }
    const owner = findOwner(mac, pfs, [...vfs, ...planned], vf);
    if (owner !== undefined) return [{ pf, vf, need, mac: { obstacle: `${owner} has ${mac}` } }];
    planned.push({ ...vf, adminMac: mac });
    return [{ pf, vf, need, mac }];
  });
}
