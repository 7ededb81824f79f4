/** Which virtual functions need an administrative address, and which one each gets. No I/O. */
import type { PhysicalFunction } from "../../kernel/kernel.ts";
import { findOwner } from "./find.ts";
import { isForVirtualMachines, NO_RDMA_DEVICE, type VfStatus } from "./list.ts";
import { deriveMac, NO_MAC } from "./mac.ts";

/** What is to be done with a virtual function. */
export interface Step {
  readonly pf: PhysicalFunction;
  readonly vf: VfStatus;
  /** Why something has to be done. */
  readonly need: string;
  /** The address that it gets, or what stands in the way of that. */
  readonly mac: string | { readonly obstacle: string };
}

/**
 * Why a virtual function needs an address and a new bind, or undefined when neither would change anything. A driver
 * that is bound and has made no RDMA device would make none the next time either; one that is not bound may make one
 * if functions of its kind have some.
 */
export function findNeed({ driver, reason }: VfStatus, isRdmaPf: boolean): string | undefined {
  if (driver === undefined) return isRdmaPf ? reason : undefined;
  return isForVirtualMachines(driver) || reason === NO_RDMA_DEVICE ? undefined : reason;
}

/** Which virtual functions are to be dealt with. */
export interface Choice {
  /** Of the physical functions. */
  readonly names: readonly string[];
  /** Those of them whose drivers make RDMA devices on this node. */
  readonly rdmaPfs: readonly string[];
  /** PCI addresses of virtual functions that are dealt with even if the host uses them. */
  readonly forced: readonly string[];
}

/**
 * The address that a virtual function should have: the one it was given; else its own if that outlasts a reboot; else
 * one derived from its physical function's. Some drivers (igb) tell a function's own random address as if it had been
 * given; that one does not count.
 *
 * @returns undefined when one must be derived and the physical function has no permanent address
 */
export function chooseMac(pf: PhysicalFunction, vf: VfStatus): string | undefined {
  const isEcho = vf.hasRandomMac && vf.adminMac === vf.effectiveMac;
  if (vf.adminMac !== NO_MAC && !isEcho) return vf.adminMac;
  if (vf.hasPermanentMac && vf.effectiveMac !== undefined && vf.effectiveMac !== NO_MAC) {
    return vf.effectiveMac;
  }
  return pf.permanentAddress === undefined ? undefined : deriveMac(pf.permanentAddress, vf.number);
}

/**
 * Plans the steps for those virtual functions that need one and that the host does not use.
 *
 * @param pfs all physical functions of the node, since no two addresses may be the same
 * @param vfs all virtual functions of the node
 */
export function planSteps(
  pfs: readonly PhysicalFunction[],
  vfs: readonly VfStatus[],
  { names, rdmaPfs, forced }: Choice,
): Step[] {
  const planned: VfStatus[] = [];
  return vfs.filter((vf) => names.includes(vf.pf)).flatMap((vf): Step[] => {
    const pf = pfs.find(({ name }) => name === vf.pf);
    const need = findNeed(vf, rdmaPfs.includes(vf.pf));
    if (!pf || need === undefined) return [];
    if (vf.usedByHost !== undefined && !forced.includes(vf.deviceId)) return [];
    const mac = chooseMac(pf, vf);
    if (mac === undefined) {
      return [{ pf, vf, need, mac: { obstacle: `the kernel tells no permanent address of ${pf.name}` } }];
    }
    const owner = findOwner(mac, pfs, [...vfs, ...planned], vf);
    if (owner !== undefined) return [{ pf, vf, need, mac: { obstacle: `${owner} has ${mac}` } }];
    planned.push({ ...vf, adminMac: mac });
    return [{ pf, vf, need, mac }];
  });
}
