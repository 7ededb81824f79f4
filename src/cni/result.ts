import { CniError, ErrorCode } from "./error.ts";
import type { CniVersion } from "./version.ts";

/** An interface in a result, CNI 0.3.0 and later. Go's encoders may write null for absent. */
export interface Interface {
  readonly name?: string | null | undefined;
  readonly mac?: string | null | undefined;
  /** The pod's namespace path; absent for the host's side. */
  readonly sandbox?: string | null | undefined;
  readonly pciID?: string | null | undefined;
  readonly [key: string]: unknown;
}

/** The result of a plugin as it came: keys unknown to us included. */
export interface Result {
  readonly cniVersion?: string | null | undefined;
  readonly interfaces?: readonly Interface[] | null | undefined;
  readonly [key: string]: unknown;
}

/** The network configuration as far as results need it. */
export interface ChainedConfig {
  readonly cniVersion: CniVersion;
  /** The network's name. */
  readonly name: string;
  readonly prevResult?: Result;
}

/**
 * The result of the plugins before this one.
 *
 * @throws {CniError} code 7 when there is none: the plugin is not chained, or the runtime did not pass it on
 */
export function requirePrevResult(config: ChainedConfig): Result {
  if (config.prevResult) return config.prevResult;
  throw new CniError(
    ErrorCode.invalidConfig,
    `Cannot use network ${JSON.stringify(config.name)}: no prevResult`,
    'plugin "rdma" adds to an interface that another made: list it in "plugins" after one such as "sriov", or name ' +
      'that one in "delegate"',
  );
}

/** The interfaces of a result, those that the runtime asked for (by namespace and name) first. */
export function listInterfaces(result: Result | undefined, netns: string, ifname: string): Interface[] {
  const rank = (entry: Interface) => Number(entry.sandbox !== netns) + Number(entry.name !== ifname);
  return [...result?.interfaces ?? []].sort((a, b) => rank(a) - rank(b));
}

/**
 * The result of this plugin: the one it got, unchanged. Before 1.0.0 a result need not name its version, but what
 * reads it later takes a missing one for 0.1.0, so then it is added.
 */
export function formatResult(config: ChainedConfig): string {
  const result = requirePrevResult(config);
  return JSON.stringify({ ...result, cniVersion: result.cniVersion ?? config.cniVersion });
}
