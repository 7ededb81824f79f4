import { findLibmnl } from "../ffi/libmnl.ts";
import { findLibmnlFile } from "../ffi/libmnl_file.ts";
import { NETLINK_RDMA } from "../netlink/constants.ts";
import type { AdminKernel, OtherNetnsList } from "./admin_kernel.ts";
import type { Netns, RdmaMode } from "./kernel.ts";
import { LinuxKernel } from "./linux.ts";
import { listOtherNetns } from "./other_netns.ts";
import { setMode } from "./rdma_admin.ts";
import { holdSignals } from "./signals.ts";
import * as sysfs from "./sysfs_vf.ts";
import * as vf from "./vf.ts";
import type {
  FunctionDevices,
  LinkDetails,
  PhysicalFunction,
  RdmaNode,
  Representor,
  VfKernel,
} from "./vf_kernel.ts";

/** The kernel this process runs on, for the commands. A module of its own, so that CNI calls do not load it. */
export class LinuxAdminKernel extends LinuxKernel implements AdminKernel {
  setRdmaMode(mode: RdmaMode): void {
    setMode(this.hostNetns.socket(NETLINK_RDMA), mode);
  }

  listOtherNetns(): OtherNetnsList {
    return listOtherNetns();
  }

  findLibmnl(): string {
    return findLibmnl();
  }

  findLibmnlFile(): string {
    return findLibmnlFile();
  }

  getBootedAtMs(): number {
    return Date.now() - Deno.osUptime() * 1000;
  }

  listPhysicalFunctions(): PhysicalFunction[] {
    return vf.listPhysicalFunctions(this.hostNetns);
  }

  getFunctionDevices(deviceId: string): FunctionDevices {
    return sysfs.getFunctionDevices(deviceId);
  }

  listRepresentors(pf: PhysicalFunction): Representor[] {
    return sysfs.listRepresentors(pf.deviceId);
  }

  listAddressedLinks(): ReadonlySet<number> {
    return vf.listAddressedLinks(this.hostNetns);
  }

  listLinksIn(netns: Netns): LinkDetails[] {
    return vf.listLinksIn(netns);
  }

  listRdmaNodes(netns: Netns): RdmaNode[] {
    return vf.listRdmaNodes(netns);
  }

  setVfMac(pf: PhysicalFunction, number: number, mac: string): void {
    vf.setVfMac(this.hostNetns, pf, number, mac);
  }

  setVfGuid(pf: PhysicalFunction, number: number, guid: bigint): void {
    vf.setVfGuid(this.hostNetns, pf, number, guid);
  }

  async unbindDriver(deviceId: string): Promise<void> {
    await sysfs.unbindDriver(deviceId);
  }

  async bindDriver(deviceId: string, driver: string | undefined): Promise<void> {
    await sysfs.bindDriver(deviceId, driver);
  }

  async pause(milliseconds: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  holdSignals(): ReturnType<VfKernel["holdSignals"]> {
    return holdSignals();
  }
}
