import type { Command } from "./environment.ts";

/** Every released version of the CNI specification, oldest first. */
export const CNI_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

export type CniVersion = typeof CNI_VERSIONS[number];

export const NEWEST_CNI_VERSION: CniVersion = "1.1.0";

export function isCniVersion(text: string): text is CniVersion {
  return (CNI_VERSIONS as readonly string[]).includes(text);
}

/** Returns whether a version is the other or newer. */
export function isAtLeast(version: CniVersion, other: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(other);
}

/** The first version of the specification that has the command. */
export const SINCE: Partial<Readonly<Record<Command, CniVersion>>> = {
  CHECK: "0.4.0",
  GC: "1.1.0",
  STATUS: "1.1.0",
};
