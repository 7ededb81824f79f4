import { parseConfig } from "../../cni/config.ts";
import { configSchema } from "../../cni/config_schema.ts";
import { makeDeviceNames } from "../../cni/device_name.ts";
import { type Finding, problem, warning } from "./finding.ts";
import { findNearest } from "./nearest.ts";

/** Plugins that move a function's interface into the pod; the RDMA device follows it. */
const MOVERS = ["sriov", "ib-sriov", "host-device", "accelerated-bridge", "ovs"];
/** Keys of a plugin that the runtime reads (CNI 1.1 SPEC.md, section "Configuration format"). */
const STANDARD_KEYS = ["capabilities", "dns", "ipam"];
const KNOWN_KEYS = [...Object.keys(configSchema.shape), ...STANDARD_KEYS];
const KNOWN_ARGS = ["debug", "rdmaDeviceName"];

type Raw = Readonly<Record<string, unknown>>;

/**
 * What is wrong with a network configuration that uses this plugin.
 *
 * @param file its path; only in a `.conflist` do runtimes take a list of plugins
 * @returns undefined when it does not use the plugin
 */
export async function judgeNetworkFile(file: string, text: string): Promise<Finding[] | undefined> {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    if (!/"rdma"/.test(text)) return undefined;
    return [problem("networks", `${file} is not JSON: ${(error as Error).message}`, `correct ${file}`)];
  }
  if (!isObject(raw)) return undefined;
  const isList = "plugins" in raw;
  const plugins = isList && Array.isArray(raw["plugins"]) ? raw["plugins"].filter(isObject) : [raw];
  if (!plugins.some(({ type }) => type === "rdma")) return undefined;
  const findings: Finding[] = [];
  if (isList && !file.endsWith(".conflist")) {
    findings.push(
      problem("networks", `${file} has a list of plugins, but is no .conflist`, `rename ${file}`),
    );
  }
  for (const [position, plugin] of plugins.entries()) {
    if (plugin["type"] !== "rdma") continue;
    findings.push(
      ...judgePlace(file, plugins, position),
      ...judgeKeys(file, plugin),
      ...await judgeValues(
        file,
        isList ? { cniVersion: raw["cniVersion"], name: raw["name"], ...plugin } : plugin,
      ),
    );
  }
  return findings;
}

function judgePlace(file: string, plugins: readonly Raw[], position: number): Finding[] {
  const types = plugins.map(({ type }) => String(type));
  const later = types.slice(position + 1).find((type) => MOVERS.includes(type)) ??
    (position === 0 ? types[1] : undefined);
  if (later !== undefined) {
    const text = `${file}: "rdma" stands before "${later}", whose interface it needs`;
    return [problem("networks", text, `move "rdma" behind "${later}" in ${file}`)];
  }
  if (position > 0) return [];
  return [problem(
    "networks",
    `${file}: "rdma" is not chained, and makes no interface itself`,
    `list it in "plugins" of a .conflist, after a plugin such as "sriov" or "host-device"`,
  )];
}

function judgeKeys(file: string, plugin: Raw): Finding[] {
  const args = isObject(plugin["args"]) ? plugin["args"]["cni"] : undefined;
  return [
    ...unknownKeys(plugin, KNOWN_KEYS),
    ...unknownKeys(isObject(args) ? args : {}, KNOWN_ARGS, "args.cni."),
  ].map(({ key, nearest }) =>
    warning(
      "networks",
      `${file}: "rdma" does not know the key "${key}"`,
      nearest ? `write "${nearest}" in ${file}` : `remove "${key}" from ${file}`,
    )
  );
}

/** Keys with a "/" are somebody's own by the specification's rules. */
function unknownKeys(object: Raw, known: readonly string[], prefix = "") {
  return Object.keys(object).filter((key) => !known.includes(key) && !key.includes("/")).map((key) => {
    const nearest = findNearest(key, known);
    return { key: `${prefix}${key}`, nearest: nearest && `${prefix}${nearest}` };
  });
}

/** The plugin's own verdict, on what the runtime would hand to it. */
async function judgeValues(file: string, config: Raw): Promise<Finding[]> {
  try {
    const { rdmaDeviceName } = await parseConfig(JSON.stringify(config));
    if (rdmaDeviceName) makeDeviceNames(rdmaDeviceName, "net1", 1, []);
    return [];
  } catch (error) {
    return [problem("networks", `${file}: ${(error as Error).message}`, `correct ${file}`)];
  }
}

function isObject(value: unknown): value is Raw {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
