import type { Kernel, RdmaMode } from "./kernel.ts";
import type { VfKernel } from "./vf_kernel.ts";

/** What the commands that people type ask of the kernel, on top of what the plugin does. Types only. */
export interface AdminKernel extends Kernel, VfKernel {
  /** @throws {NetlinkError} EBUSY while another network namespace exists, EPERM without CAP_NET_ADMIN */
  setRdmaMode(mode: RdmaMode): void;
  /** The network namespaces besides the initial one, and what keeps each alive, as far as this process can see. */
  listOtherNetns(): OtherNetnsList;
  /** Where libmnl was found: its name alone when the system has it. @throws {LibmnlMissing} */
  findLibmnl(): string;
  /** The file that was found: an absolute path without links. @throws {LibmnlMissing} */
  findLibmnlFile(): string;
}

export interface OtherNetnsList {
  readonly namespaces: readonly OtherNetns[];
  /** Every process of the machine could be looked at. Otherwise there may be namespaces that are not listed. */
  readonly isComplete: boolean;
}

export interface OtherNetns {
  /** Its number on nsfs. */
  readonly inode: number;
  /** Where it is mounted; below /proc/PID/root when only another mount namespace has it there. */
  readonly paths: readonly string[];
  /** Those in it, or with a file open that leads to it. */
  readonly processes: readonly NetnsProcess[];
}

export interface NetnsProcess {
  readonly pid: number;
  /** Its command line; the kernel's name for it, in brackets, when it has none. */
  readonly command: string;
  /** The container that its control group is named after. */
  readonly containerId?: string;
  /** False: it, or a thread of it, is in the namespace. True: it only has a file open that leads there. */
  readonly onlyOpen: boolean;
}
