// What kernels lack, and the sets of cases that are run on them. tests/vm/cases/kernel.ts proves every lack.

type KernelVersion = readonly [major: number, minor: number];

/** Why older kernels cannot run a case, and the first of those that run here that can. */
export interface Lack {
  reason: string;
  since: KernelVersion;
}

export const LACKS = {
  auxiliaryBus: { reason: "no auxiliary bus before 5.11", since: [5, 11] },
  netnsCookie: {
    reason: "no SO_NETNS_COOKIE before 5.14, so a namespace is known by an inode that is used again",
    since: [5, 14],
  },
  linkParent: {
    reason: "no IFLA_PARENT_DEV_NAME before 5.14, so no parent of an interface that is in a pod",
    since: [5, 14],
  },
  bindError: {
    reason: "no errors of drivers from a bind by hand before 5.14: all are ENODEV",
    since: [5, 14],
  },
  subDevices: { reason: "no sub-devices before 6.11", since: [6, 11] },
  vdpa: { reason: "no vDPA in Debian's kernels before 6.12", since: [6, 12] },
  namesPerNetns: { reason: "one name for one device of the whole node before 7.3", since: [7, 3] },
  movableSoftRoce: { reason: "no move of Soft-RoCE devices before 7.3", since: [7, 3] },
} satisfies Record<string, Lack>;

export type LackName = keyof typeof LACKS;

/** The cases that Debian 13's kernel runs: each case is of one of these tiers. */
const TIERS = [
  "plugin",
  /** Calls that run at the same time, which takes two processors. */
  "concurrency",
  /** What surrounds the plugin: its commands, and what installs and runs it. */
  "surroundings",
  /** Calls by launcher and agent, the scenarios among them, and what the agent does beside them. */
  "agent",
  /** Those that are executed on other kernels only: Debian 13's has them by the agent, which takes less time. */
  "elsewhere",
] as const;

/**
 * Cases for other kernels, of any tier, since most of what the plugin does is the same on all: for the newest its names,
 * Soft-RoCE and each command once, for one between them the kernel's facts and the contract, for the oldest what the
 * kernel decides, and for arm64, whose emulation takes longest, what may differ on another processor.
 */
const OTHER_SETS = ["newest", "middle", "oldest", "arm64"] as const;

export const SETS: readonly string[] = ["all", ...TIERS, ...OTHER_SETS];

export type OtherSet = typeof OTHER_SETS[number];

export interface CaseFields {
  readonly sets?: readonly [tier: typeof TIERS[number], ...OtherSet[]];
  readonly needs?: LackName | undefined;
  readonly limitMs?: number;
}

/** The version of a release as `uname -r` tells it. @throws {Error} if it is none */
export function parseRelease(release: string): KernelVersion {
  const [, major, minor] = /^(\d+)\.(\d+)\./.exec(release) ?? [];
  if (major === undefined) throw new Error(`Cannot parse kernel release ${JSON.stringify(release)}`);
  return [Number(major), Number(minor)];
}

export function isBefore([major, minor]: KernelVersion, [otherMajor, otherMinor]: KernelVersion): boolean {
  return major < otherMajor || major === otherMajor && minor < otherMinor;
}

/** Why a kernel cannot run a case; undefined if it can. */
export function leftOutReason({ needs }: CaseFields, kernel: KernelVersion): string | undefined {
  if (needs === undefined) return undefined;
  const { reason, since } = LACKS[needs];
  return isBefore(kernel, since) ? reason : undefined;
}
