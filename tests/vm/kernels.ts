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

/** Cases by parts of their names: those that have one of `only`, but none of `without` unless one of `also`. */
interface CaseSet {
  only: string[];
  without: string[];
  also?: string[];
}

/** What the commands do to the kernel, each way once; the other cases about them are the same on every kernel. */
const COMMANDS = [
  ...["netns-mode: set both ways", "netns-mode: refused by a namespace with a process"],
  ...["vf-mac: list tells what", "vf-mac: set gives", "vf-mac: init fixes"],
];

/** What surrounds the plugin: its commands, and what installs and runs it. */
const SURROUNDINGS = [
  ...["daemonset: ", "doctor: ", "examples: ", "install: ", "netns-mode: ", "pods: ", "runtime: "],
  ...["units: ", "vf-mac: "],
];

/** Calls by launcher and agent, and what the agent does beside them. */
const AGENT = ["agent: ", "agent contract: ", "agent faults: ", "agent scenarios: "];

/** Calls that run at the same time, which takes two processors. */
const AT_ONCE = ["concurrency: ", "faults: many steps"];

/** Sets of cases, by parts of their names. Whatever is left out runs on Debian 13's kernel, where all cases run. */
export const SETS: Record<string, CaseSet> = {
  all: { only: [""], without: [] },
  /** These five together are all. */
  plugin: { only: [""], without: ["scenarios: ", ...AGENT, ...AT_ONCE, ...SURROUNDINGS] },
  concurrency: { only: AT_ONCE, without: [] },
  surroundings: { only: SURROUNDINGS, without: [] },
  scenarios: { only: ["scenarios: "], without: AGENT },
  agent: { only: AGENT, without: [] },
  /** What the plugin does; of what surrounds it, which is the same on every kernel, a few cases. */
  contract: {
    only: [""],
    without: [
      ...SURROUNDINGS,
      ...AGENT,
      "scenarios: ", // by the agent, which takes less time
      ...["footprint: ", "memory: ", "pays", "scale: "], // what calls cost
      // What makes a call fail in the midst is of this program; kills of renames and moves remain.
      ...["faults: ", "qos: ADD that is killed"],
      // Texts of errors, and waiting: matters of this program alone.
      ...["chain: a wrong configuration", "chain: whatever else is wrong"],
      ...["ready: readyTimeoutMs waits", "ready: a DEL while ADD waits", "ready: where no sysfs"],
    ],
    also: [
      ...COMMANDS,
      ...["doctor: a healthy node", "pods: two pods"],
      ...["agent contract: ", "agent scenarios: "],
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
    without: ["agent scenarios: ", "killed at any request"], // two minutes each
  },
  /** Enough for a kernel that is neither Debian 13's nor the newest: what the kernel decides, once. */
  short: {
    only: [
      ...["rig: every function", "rig: a device returns", "rig: a namespace without path", "rig: a new bind"],
      "kernel: ",
      // Each verb.
      ...["contract: ADD and DEL of 1.1.0", "contract: the record", "contract: STATUS"],
      ...["check: ", "gc: "],
      "the function is found by ", // each way of finding
      ...["last of whose 2 devices", "without driver is refused", "mode shared is refused"],
      ...["in another namespace that nobody recorded", "a device that is in the pod already"],
      "names: ",
      "del: ", // each of its cases
      ...COMMANDS,
    ],
    without: [
      // What the record or the configuration decides, and no kernel.
      ...["del: without CNI_NETNS, deviceID", "del: CNI_NETNS is the host's namespace, and"],
      "del: there is no record",
      ...["del: whatever the record", "del: a record that is", "del: a late one", "del: a newer"],
      ...[
        "names: CNI_ARGS goes before",
        "names: one that no device can have",
        "names: one that the same pod",
      ],
      ...["names: two VFs", "names: several devices"],
      ...["gc: a failure", "gc: the older key", "gc: another interface", "gc: where there was never"],
      ...["gc: records of the Go plugin", "check: interfaces of the host"],
      ...["gc: what pods that are gone", "gc: beside pods", "gc: the device of a pod", "gc: where procfs"],
      ...["agent scenarios: ", "pays", "killed at any request"], // what takes long
    ],
  },
};

/** Whether a case belongs to a set. */
export function isInSet(caseName: string, set: string): boolean {
  const { only, without, also = [] } = SETS[set]!;
  const has = (part: string) => caseName.includes(part);
  return also.some(has) || only.some(has) && !without.some(has);
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
