import { formatPath, parseConfig } from "../../cni/config.ts";
import type { ConfigSchema } from "../../cni/config_schema.ts";
import { makeDeviceNames } from "../../cni/device_name.ts";
import { type CniError, ErrorCode } from "../../cni/error.ts";
import { problem, type Verdict, warning } from "../verdict.ts";
import { isIsolatedByIbSriov, judgeIbSriov, judgePlace, typeOf } from "./chain.ts";
import { type Attachment, judgeFunction } from "./function.ts";
import { findUnknownKeys, type Shape } from "./keys.ts";
import { isObject, type Raw } from "./raw.ts";

/** The plugins of a network, in their order: those of a list, or the one that it is. Empty when there are none. */
export function pluginsOf(network: Raw): Raw[] {
  if (!("plugins" in network)) return [network];
  const { plugins } = network;
  return Array.isArray(plugins) ? plugins.map((plugin) => isObject(plugin) ? plugin : {}) : [];
}

/**
 * What is wrong with a network configuration, a list of plugins or a single one, that gives pods RDMA devices: by this
 * plugin, or by ib-sriov in its place.
 *
 * @param attachment what Multus knows of the network besides; absent for a configuration in a file
 * @returns undefined when it gives none
 */
export async function judgeNetwork(network: Raw, attachment?: Attachment): Promise<Verdict[] | undefined> {
  const plugins = pluginsOf(network);
  const positions = plugins.flatMap((plugin, index) => typeOf(plugin) === "rdma" ? [index] : []);
  if (positions.length === 0) return isIsolatedByIbSriov(plugins) ? [] : undefined;
  const typeless = plugins.flatMap((plugin, index) =>
    typeOf(plugin) === "" ? [problem(`plugins[${index}] has no "type"`)] : []
  );
  // "rdma" has to go from there, so nothing else is said about it.
  if (plugins.some((plugin) => typeOf(plugin) === "ib-sriov")) return [...typeless, judgeIbSriov(plugins)];
  const { configSchema } = await import("../../cni/config_schema.ts");
  // The second is one too many; of more there is nothing else to say.
  const own = await Promise.all(
    positions.slice(0, 2).map(async (position) => [
      ...judgePlace(plugins, position),
      ...judgeFunction(plugins[position]!, plugins.filter((one) => typeOf(one) !== "rdma"), attachment),
      ...judgeKeys(plugins[position]!, configSchema.shape),
      // libcni puts these two into each plugin of a list (libcni/api.go, buildOneConfig).
      ...await judgeValues(
        { ...plugins[position], cniVersion: network["cniVersion"], name: network["name"] },
        configSchema,
      ),
    ]),
  );
  return [...typeless, ...own.flat()];
}

function judgeKeys(plugin: Raw, shape: Shape): Verdict[] {
  return findUnknownKeys(plugin, shape).map(({ key, nearest }) =>
    warning(
      `"rdma" does not know the key "${key}"`,
      nearest === undefined ? `remove "${key}"` : `write "${nearest}"`,
    )
  );
}

/** What the plugin itself would say to what the runtime hands to it. */
async function judgeValues(config: Raw, schema: ConfigSchema): Promise<Verdict[]> {
  const issues = schema.safeParse(config).error?.issues ?? [];
  const verdicts = issues.map(({ path, message }) => problem(`${formatPath(path)}: ${message}`));
  try {
    const { rdmaDeviceName } = await parseConfig(JSON.stringify(config));
    if (rdmaDeviceName) makeDeviceNames(rdmaDeviceName, "net1", 1, []);
  } catch (error) {
    const { code, message, details } = error as CniError;
    const isTold = code === ErrorCode.invalidConfig && verdicts.length > 0;
    if (!isTold) verdicts.push(problem(details === undefined ? message : `${message} (${details})`));
  }
  return verdicts;
}
