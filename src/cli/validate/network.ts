import { CniError, ErrorCode } from "../../cni/error.ts";
import { readConfig } from "../../plugin/config/config.ts";
import { makeDeviceNames } from "../../plugin/device/names.ts";
import { isAbsent, isObject } from "../../plugin/config/rules.ts";
import { note, problem, type Verdict, warning } from "../report.ts";
import { findUnknownKeys, type Raw, type UnknownKey } from "./keys.ts";
import { RESOURCE_ANNOTATION } from "./kinds.ts";
import type { Path } from "./part.ts";

/** A verdict on a network. */
export interface NetworkVerdict extends Verdict {
  /** The part of the configuration that it is about; empty for all of it. */
  readonly path: Path;
}

/** A plugin of a network, and where it is in the configuration. */
interface Placed {
  readonly path: Path;
  readonly plugin: Raw;
}

/**
 * The plugins of a network, in the order of ADD: those of a list, or the one that it is, and a delegate before the one
 * that runs it. Empty when there are none.
 */
export function pluginsOf(network: Raw): Placed[] {
  return listedIn(network).flatMap(({ path, plugin }) => {
    const delegate = delegateOf(plugin);
    if (!delegate) return [{ path, plugin }];
    const device = deviceOf(plugin);
    const told = device === undefined ? delegate : { ...delegate, deviceID: device };
    return [{ path: [...path, "delegate"], plugin: told }, { path, plugin }];
  });
}

function listedIn(network: Raw): Placed[] {
  if (!("plugins" in network)) return [{ path: [], plugin: network }];
  const { plugins } = network;
  if (!Array.isArray(plugins)) return [];
  return plugins.map((plugin, index) => ({
    path: ["plugins", index],
    plugin: isObject(plugin) ? plugin : {},
  }));
}

/** The plugin that this plugin is to run; an empty one for what is wrong, which is a matter of values. */
function delegateOf(plugin: Raw): Raw | undefined {
  const { delegate } = plugin;
  if (typeOf(plugin) !== "rdma" || isAbsent(delegate)) return undefined;
  return isObject(delegate) && typeOf(delegate) !== "rdma" ? delegate : {};
}

/**
 * Judges a network configuration, a list of plugins or a single one, that gives pods RDMA devices: by this plugin, or by
 * ib-sriov in its place.
 *
 * @param attachment the facts that Multus knows of the network besides; absent for a configuration in a file
 * @returns undefined when it gives none
 */
export async function judgeNetwork(
  network: Raw,
  attachment?: MultusFacts,
): Promise<NetworkVerdict[] | undefined> {
  const placed = pluginsOf(network);
  const plugins = placed.map(({ plugin }) => plugin);
  const positions = plugins.flatMap((plugin, index) => typeOf(plugin) === "rdma" ? [index] : []);
  if (positions.length === 0) return judgeIbSriovAlone(placed, attachment);
  const typeless = listedIn(network).flatMap(({ path, plugin }, index) =>
    typeOf(plugin) === "" ? [{ path, ...problem(`plugins[${index}] has no "type"`) }] : []
  );
  const { path: first } = placed[positions[0]!]!;
  // "rdma" has to go from there, so nothing else is said about it.
  if (plugins.some((plugin) => typeOf(plugin) === "ib-sriov")) {
    return [...typeless, { path: first, ...judgeIbSriov(plugins, attachment) }];
  }
  // The second is one too many; of more there is nothing else to say.
  const own = await Promise.all(
    positions.slice(0, 2).map(async (position) => {
      const { path, plugin } = placed[position]!;
      const others = plugins.filter((one) => typeOf(one) !== "rdma");
      const verdicts = [
        ...judgePlace(plugins, position),
        ...judgeFunction(plugin, others, attachment),
        ...judgeDelegate(plugin),
      ];
      return [
        ...verdicts.map((verdict) => ({ path, ...verdict })),
        ...judgeKeys(plugin, path),
        ...await judgeValues(plugin, path, network),
      ];
    }),
  );
  return [...typeless, ...own.flat()];
}

/** Of unknown keys, of which there can be a million, the first few are named. */
const KEYS_NAMED = 10;

function judgeKeys(plugin: Raw, path: Path): NetworkVerdict[] {
  const unknown = findUnknownKeys(plugin);
  const pathOf = ({ key }: UnknownKey) => [...path, ...key.split(".")];
  const named = unknown.slice(0, KEYS_NAMED).map((one) => ({
    path: pathOf(one),
    ...warning(
      `"rdma" does not know the key "${one.key}"`,
      one.nearest === undefined ? `remove "${one.key}"` : `write "${one.nearest}"`,
    ),
  }));
  const [next, ...further] = unknown.slice(KEYS_NAMED);
  if (!next) return named;
  const text = `more keys that "rdma" does not know: ${1 + further.length}`;
  return [...named, { path: pathOf(next), ...warning(text, "remove them") }];
}

/** Judges values as the plugin itself does when the runtime hands them to it. */
async function judgeValues(plugin: Raw, path: Path, network: Raw): Promise<NetworkVerdict[]> {
  // libcni puts these two into each plugin of a list (libcni/api.go, buildOneConfig).
  const shared = { cniVersion: network["cniVersion"], name: network["name"] };
  const config = { ...plugin, ...shared };
  const { explainFaults } = await import("../../plugin/config/schema.ts");
  const verdicts = explainFaults(config).map((fault): NetworkVerdict => ({
    path: [...String(fault.path[0]) in shared ? [] : path, ...fault.path as Path],
    ...problem(fault.text),
  }));
  try {
    const { rdmaDeviceName } = await readConfig(config);
    if (rdmaDeviceName) makeDeviceNames(rdmaDeviceName, "net1", 1, []);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    const { code, message, details } = error;
    const isTold = code === ErrorCode.invalidConfig && verdicts.length > 0;
    if (!isTold) {
      verdicts.push({
        path: code === ErrorCode.incompatibleVersion ? ["cniVersion"] : path,
        ...problem(details === undefined ? message : `${message} (${details})`),
      });
    }
  }
  return verdicts;
}

/** Plugins that move a function's interface into the pod; the RDMA device follows it. */
const MOVERS = ["sriov", "ib-sriov", "host-device", "amd-host-device", "accelerated-bridge", "ovs"];
/** Plugins that leave interfaces where they are. */
const MODIFIERS = [
  // containernetworking/plugins, directory meta
  ...["bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"],
  // of Spiderpool, and of NVIDIA's Spectrum-X operator
  ...["coordinator", "rail"],
  ...["route-override", "istio-cni", "linkerd-cni"],
];

export function typeOf({ type }: Raw): string {
  return typeof type === "string" ? type : "";
}

/** Judges the place of a plugin of type "rdma", which needs an interface to add to. */
function judgePlace(plugins: readonly Raw[], position: number): Verdict[] {
  const types = plugins.map(typeOf);
  const [before, after] = [types.slice(0, position), types.slice(position + 1)];
  if (before.includes("rdma")) {
    return [
      problem('"rdma" is there twice: the second finds no device left', 'remove the second "rdma"'),
    ];
  }
  const hasInterface = before.some((type) => !MODIFIERS.includes(type));
  const later = after.filter((type) => !["", "rdma", ...MODIFIERS].includes(type));
  const needed = later.find((type) => MOVERS.includes(type)) ?? (hasInterface ? undefined : later[0]);
  if (needed !== undefined) {
    const text = `"rdma" comes before "${needed}", whose interface it needs`;
    return [problem(text, `move "rdma" after "${needed}"`)];
  }
  if (!hasInterface) {
    return [problem(
      '"rdma" is not chained, and makes no interface itself',
      'list it in "plugins", after one such as "sriov" or "host-device", or name that one in "delegate"',
    )];
  }
  const fix = 'move "rdma" to the end if that moves an interface';
  return later.map((type) => note(`"rdma" comes before "${type}", which is not known`, fix));
}

/**
 * Judges a network without "rdma". ib-sriov can move the RDMA device itself, which it has to do before it moves the
 * interface; one that is told not to was meant for pods without RDMA.
 */
function judgeIbSriovAlone(
  placed: readonly Placed[],
  attachment: MultusFacts | undefined,
): NetworkVerdict[] | undefined {
  const mover = placed.find(({ plugin }) => typeOf(plugin) === "ib-sriov");
  if (!mover || mover.plugin["rdmaIsolation"] === false) return undefined;
  return mover.plugin["rdmaIsolation"] === true ? [] : [{
    path: mover.path,
    ...warning(
      '"ib-sriov" without "rdmaIsolation": true leaves the RDMA device on the host: in mode exclusive pods get none',
      isolate(attachment),
    ),
  }];
}

/** Refuses "rdma" in a list with "ib-sriov": ADD refuses the device of an IPoIB interface of the pod. */
function judgeIbSriov(plugins: readonly Raw[], attachment: MultusFacts | undefined): Verdict {
  return plugins.some((plugin) => typeOf(plugin) === "ib-sriov" && plugin["rdmaIsolation"] === true)
    ? problem('"ib-sriov" moves the RDMA device itself ("rdmaIsolation")', 'remove "rdma"')
    : problem(
      '"rdma" cannot move the RDMA device of an interface of "ib-sriov": the kernel would remove the interface',
      `remove "rdma" and ${isolate(attachment)}`,
    );
}

function isolate(attachment: MultusFacts | undefined): string {
  const key = '"rdmaIsolation": true for "ib-sriov"';
  return attachment?.madeFrom === "SriovIBNetwork"
    ? `write a NetworkAttachmentDefinition instead, with ${key}: SriovIBNetwork has no such key`
    : `write ${key}`;
}

/** The facts that Multus knows of a network beside its configuration. */
export interface MultusFacts {
  /**
   * The resource that its annotation names. Then Multus gives the device that the pod has of it to every plugin of the
   * chain, as "deviceID" and as the capability of that name (Multus 4, pkg/types/conf.go, addDeviceIDInConfList).
   */
  readonly resource?: string;
  /** The kind of which an operator makes the network; absent for one that people write as it is. */
  readonly madeFrom?: string;
}

/** Plugins that move no function without being told which. */
const IN_NEED = ["sriov", "ib-sriov", "accelerated-bridge", "ovs"];
/** Plugins that make an interface on another one. It has no function, whatever is below. */
const WITHOUT_FUNCTION = ["macvlan", "ipvlan"];

/**
 * Compares what the plugin is told with what the others in its chain are told.
 *
 * @param attachment absent for a configuration in a file: what its runtime adds is not known
 */
function judgeFunction(own: Raw, others: readonly Raw[], attachment?: MultusFacts): Verdict[] {
  if (own["softRoCE"] === true) return judgeSoftRoce(attachment);
  const onTop = others.map(typeOf).find((type) => WITHOUT_FUNCTION.includes(type));
  if (onTop && attachment?.resource) return judgeShared(onTop, attachment.resource);
  if (attachment?.resource) return [];
  // A runtime that runs one plugin takes such a network from the cluster too, and the function from elsewhere.
  if (delegateOf(own)) attachment = undefined;
  const told = others.find((plugin) => deviceOf(plugin) !== undefined);
  if (told) return compareDevices(deviceOf(own), deviceOf(told)!, typeOf(told));
  if (deviceOf(own) !== undefined) return [];
  return attachment ? judgeWithoutResource(others, attachment) : judgeCapability(own, others);
}

/**
 * k8s-rdma-shared-dev-plugin gives many pods one device, and ends itself in mode exclusive (its main.go). Its resources
 * have the prefix "rdma" unless its configuration says otherwise.
 */
function judgeShared(type: string, resource: string): Verdict[] {
  return /^rdma\/|shared/i.test(resource)
    ? [problem(
      `"rdma" cannot work with "${type}" and the shared resource "${resource}": it needs mode exclusive, in which ` +
        "k8s-rdma-shared-dev-plugin does not run",
      'remove "rdma" and keep mode shared, or use "sriov" and a resource of virtual functions',
    )]
    : [];
}

/** A Soft-RoCE device needs no function, and ADD refuses one. */
function judgeSoftRoce(attachment: MultusFacts | undefined): Verdict[] {
  return attachment?.resource
    ? [problem(
      '"rdma" has "softRoCE", but Multus gives it the function of the network\'s resource',
      `remove "softRoCE", or the annotation "${RESOURCE_ANNOTATION}"`,
    )]
    : [];
}

function compareDevices(own: string | undefined, device: string, type: string): Verdict[] {
  if (own === device) return [];
  const fix = `write "deviceID": "${device}" for "rdma"`;
  return own === undefined
    ? [warning(`"${type}" has a "deviceID", "rdma" has none, and looks for it by the interface`, fix)]
    : [problem(`"rdma" has "deviceID" "${own}", but "${type}" moves "${device}"`, fix)];
}

function judgeWithoutResource(others: readonly Raw[], { madeFrom }: MultusFacts): Verdict[] {
  const nothing = 'it has neither a resource nor a "deviceID"';
  const annotation = `the annotation "${RESOURCE_ANNOTATION}"`;
  const fix = madeFrom === undefined
    ? `give the network ${annotation}`
    : madeFrom === "Network"
    ? `write a NetworkAttachmentDefinition instead, with ${annotation}`
    : 'write "resourceName" in its spec';
  const types = others.map(typeOf);
  const onTop = types.find((type) => WITHOUT_FUNCTION.includes(type));
  if (onTop) {
    return [problem(
      `${nothing}: "rdma" finds none by an interface of "${onTop}"`,
      'use "sriov" or "host-device" and a resource of virtual functions',
    )];
  }
  const inNeed = types.find((type) => IN_NEED.includes(type));
  return inNeed === undefined
    ? [warning(`${nothing}: "rdma" looks for its function by the interface`, fix)]
    : [problem(`${nothing}: "${inNeed}" is given no function`, fix)];
}

/** Of its own accord a runtime gives a plugin only the capabilities that it declares (CNI 1.1 SPEC.md, section 2). */
function judgeCapability(own: Raw, others: readonly Raw[]): Verdict[] {
  const declaring = others.find(hasCapability);
  return !declaring || hasCapability(own) ? [] : [warning(
    `"${typeOf(declaring)}" is given the function by the capability "deviceID", "rdma" is not`,
    'write "capabilities": { "deviceID": true } for "rdma"',
  )];
}

/** The runtime passes arguments for the capabilities that this plugin declares, and the delegate gets its part of them. */
function judgeDelegate(own: Raw): Verdict[] {
  const delegate = delegateOf(own);
  if (!delegate) return [];
  const declared = new Set(["deviceID", ...capabilitiesOf(own)]);
  return capabilitiesOf(delegate).filter((name) => !declared.has(name)).map((name) =>
    warning(
      `"${typeOf(delegate)}" declares the capability "${name}", but "rdma", which runs it, does not`,
      `write "capabilities": { "${name}": true } for "rdma" too`,
    )
  );
}

function deviceOf({ deviceID }: Raw): string | undefined {
  return typeof deviceID === "string" && deviceID !== "" ? deviceID : undefined;
}

function hasCapability(plugin: Raw): boolean {
  return capabilitiesOf(plugin).includes("deviceID");
}

function capabilitiesOf({ capabilities }: Raw): string[] {
  return isObject(capabilities)
    ? Object.keys(capabilities).filter((name) => capabilities[name] === true)
    : [];
}
