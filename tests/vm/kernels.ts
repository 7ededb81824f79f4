// What kernels lack, and the cases that they cannot run for it. tests/vm/cases/kernel_lacks.ts proves every lack.

/** Major and minor number of a kernel. */
export type KernelVersion = readonly [major: number, minor: number];

/** Something that older kernels lack. */
export interface Lack {
  /** What they lack, as it is printed. */
  reason: string;
  /** The first kernel that has it; among those that run here, if it depends on how Debian builds them. */
  since: KernelVersion;
  /** Parts of the names of cases that need it. */
  cases: string[];
}

export const LACKS = {
  auxiliaryBus: {
    reason: "no auxiliary bus before 5.11",
    since: [5, 11],
    cases: [
      "scalable function",
      "examples: sf_net_crd.yaml",
      "names: who asks for one pays a few requests to the kernel",
      "concurrency: a device that another program takes out of the pod while ADD is at work",
      "scale: ADD by deviceID",
      "scale: ADD by the interface's parent",
    ],
  },
  netnsCookie: {
    reason: "no SO_NETNS_COOKIE before 5.14, so a namespace is known by an inode that is used again",
    since: [5, 14],
    cases: [
      "kernel: cookies and inodes tell namespaces apart",
      "check: the namespace has gone, or its path leads to another",
    ],
  },
  linkParent: {
    reason: "no IFLA_PARENT_DEV_NAME before 5.14, so no parent of an interface that is in a pod",
    since: [5, 14],
    cases: [
      "the parent of the interface in the pod",
      "rig: an IPoIB interface has the function as parent",
      "vf-mac: list tells why a function is not ready, and where its devices are",
      "vf-mac: a function whose netdev is in a pod is refused and named",
      "vf-mac: a pod with its own MAC address is as ready as others",
    ],
  },
  bindError: {
    reason: "no errors of drivers from a bind by hand before 5.14: all are ENODEV",
    since: [5, 14],
    cases: ["vf-mac: a driver that never comes back is reported"],
  },
  subDevices: {
    reason: "no sub-devices before 6.11",
    since: [6, 11],
    cases: ["SMI sub-device"],
  },
  vdpa: {
    reason: "no vDPA in Debian's kernels before 6.12",
    since: [6, 12],
    cases: ["what the host uses is left alone and named"],
  },
  namesPerNetns: {
    reason: "one name for one device of the whole node before 7.3",
    since: [7, 3],
    cases: ["names per namespace: ", "limits: devices of one name in two pods"],
  },
  movableSoftRoce: {
    reason: "no move of Soft-RoCE devices before 7.3",
    since: [7, 3],
    cases: ["soft-roce: "],
  },
} satisfies Record<string, Lack>;

/** Sets of cases, by parts of their names: those that have one of `only`, but none of `without`. */
export const SETS: Record<string, { only: string[]; without: string[] }> = {
  all: { only: [""], without: [] },
  /** What the plugin does; without what surrounds it, which is the same on every kernel. */
  contract: {
    only: [""],
    without: [
      ...["daemonset: ", "examples: ", "faults: ", "footprint: ", "install: ", "memory: ", "runtime: "],
      ...["pays", "scale: "], // what calls cost
      // what takes long, and is a matter of this program alone
      ...["chain: a wrong configuration", "chain: whatever else is wrong"],
      ...["doctor: a copy by hand", "doctor: a node without libmnl"],
      ...["vf-mac: what the host uses", "vf-mac: a signal while", "vf-mac: functions without RDMA"],
    ],
  },
  /** What may differ on another processor architecture, whose emulation takes longer. */
  arm64: {
    only: [
      ...["rig: every function", "kernel: "],
      ...["contract: ADD and DEL of 1.1.0", "contract: the record", "contract: STATUS"],
      "the function is found by ", // each way of finding
      "check: the record is missing",
      "gc: stale attachments",
      "names: by interface",
      ...["del: the path has gone", "del: the namespace has ended", "del: the device was renamed in the pod"],
      "del: the Go plugin's record, with the device in the pod",
      ...["netns-mode: set both ways", "netns-mode: refused by a namespace with a process"],
    ],
    without: ["killed at any request to the kernel: "], // two minutes
  },
  /** Enough for a kernel that is neither Debian 13's nor the newest. */
  short: {
    only: [
      ...["rig: ", "kernel: "],
      "contract: ", // each verb
      ...["check: ", "gc: "],
      "add: ", // each way of finding
      ...["scenarios: names: ", "del: "],
      ...["netns-mode: set both ways", "netns-mode: refused by", "netns-mode: persisted while"],
      ...["vf-mac: list tells what", "vf-mac: set gives", "vf-mac: init fixes", "vf-mac: init passes over"],
    ],
    without: ["killed at any request to the kernel: "],
  },
};

/** Whether a case belongs to a set. */
export function isInSet(caseName: string, set: string): boolean {
  const { only, without } = SETS[set]!;
  const has = (part: string) => caseName.includes(part);
  return only.some(has) && !without.some(has);
}

/** The version of a release as `uname -r` tells it. @throws {Error} if it is none */
export function parseRelease(release: string): KernelVersion {
  const [, major, minor] = /^(\d+)\.(\d+)\./.exec(release) ?? [];
  if (major === undefined) throw new Error(`Cannot parse kernel release ${JSON.stringify(release)}`);
  return [Number(major), Number(minor)];
}

/** Whether a kernel is older than another one. */
export function isBefore([major, minor]: KernelVersion, [otherMajor, otherMinor]: KernelVersion): boolean {
  return major < otherMajor || major === otherMajor && minor < otherMinor;
}

/** Why a kernel cannot run a case; undefined if it can. */
export function leftOutReason(caseName: string, kernel: KernelVersion): string | undefined {
  const lacks: Lack[] = Object.values(LACKS);
  return lacks.find(({ since, cases }) =>
    isBefore(kernel, since) && cases.some((part) => caseName.includes(part))
  )?.reason;
}
