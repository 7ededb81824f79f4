/** Kinds of Kubernetes that hold a network, and the configuration that Multus gets in the end. */
import { isObject } from "../../plugin/config/rules.ts";
import { parseEmbedded } from "./embedded.ts";
import {
  getPart,
  itemsIn,
  makeList,
  makeObject,
  makeValue,
  offsetOf,
  type Part,
  type Path,
  TextError,
} from "./part.ts";

/** A network as Multus gets it. */
interface Rendered {
  readonly config: Part;
  /** The resource in its annotation. */
  readonly resource: string | undefined;
  /** The kind of which an operator makes it, if that has keys of its own for what the configuration needs. */
  readonly madeFrom?: string;
}

/** A kind, or an item of one. */
export interface Kind {
  /** @throws {TextError} when the object has no configuration, or makes none that is JSON */
  readonly render: (object: Part, text: string) => Rendered;
  /** Keys below `spec` that people write and the API server drops. */
  readonly dropped: readonly Dropped[];
  /** A SriovNetworkNodePolicy has to offer its resource. */
  readonly needsPolicy?: boolean;
}

interface Dropped {
  readonly path: readonly string[];
  readonly fix: string;
}

function dropped(fix: string, ...keys: string[]): Dropped[] {
  return keys.map((key) => ({ path: [key], fix }));
}

/**
 * net-attach-def-client, pkg/utils/cniconfig.go; sriov-network-operator, api/v1/helper.go and
 * bindata/manifests/cni-config; NVIDIA's network-operator, manifests/state-*-network; Spiderpool,
 * pkg/multuscniconfig/multusconfig_informer.go.
 */
export const KINDS: Readonly<Record<string, Kind>> = {
  NetworkAttachmentDefinition: {
    render: renderAttachment,
    dropped: dropped('write the plugins into "plugins" in spec.config', "metaPlugins", "metaPluginsConfig"),
  },
  SriovNetwork: { ...chained("sriov", "1.0.0", ["capabilities", "ipam"]), needsPolicy: true },
  SriovIBNetwork: { ...chained("ib-sriov", "1.0.0", ["capabilities", "ipam"]), needsPolicy: true },
  OVSNetwork: { ...chained("ovs", "1.0.0", ["capabilities", "ipam"]), needsPolicy: true },
  MacvlanNetwork: chained("macvlan", "0.3.1", ["ipam"]),
  HostDeviceNetwork: chained("host-device", "0.3.1", ["ipam"]),
  SpiderMultusConfig: {
    render: renderSpiderpool,
    dropped: [
      ...dropped('write the plugins into "chainCNIJsonData"', "metaPlugins", "metaPluginsConfig"),
      { path: ["sriov", "enableRdma"], fix: 'write "rdmaIsolation"' },
    ],
  },
};

function renderAttachment(object: Part, text: string): Rendered {
  const spec = specOf(object);
  const written = getFilled(spec, "config");
  if (!written) throw new TextError("spec.config is missing", spec.start);
  return {
    config: withName(parseNetwork(text, written, "spec.config"), object, "metadata", "name"),
    resource: annotationOf(object, RESOURCE_ANNOTATION),
  };
}

/**
 * An item of `additionalNetworks` in OpenShift's Network.operator.openshift.io. Of a wrong one the cluster network
 * operator says so in its status, and makes no network at all (its pkg/network/render.go, additional_networks.go).
 */
export const ADDITIONAL_NETWORK: Kind = {
  render: (item, text) => {
    const { name, type } = isObject(item.value) ? item.value : {};
    if (typeof name !== "string" || name === "") {
      throw new TextError("an item of additionalNetworks has no name", item.start);
    }
    const facts = { resource: undefined, madeFrom: "Network" };
    if (type === "SimpleMacvlan") {
      return { config: makeObject(item.start, { type: makeValue(item.start, "macvlan") }), ...facts };
    }
    if (type !== "Raw") {
      const found = type === undefined ? "missing" : JSON.stringify(type);
      throw new TextError(`type must be "Raw" or "SimpleMacvlan", but is ${found}`, offsetOf(item, ["type"]));
    }
    const written = getFilled(item, "rawCNIConfig");
    if (!written) throw new TextError("rawCNIConfig is missing", item.start);
    return { config: withName(parseNetwork(text, written, "rawCNIConfig"), item, "name"), ...facts };
  },
  dropped: [],
};

/** Multus gives a configuration without name that of its object. */
function withName(config: Part, object: Part, ...path: Path): Part {
  const own = getPart(config, "name")?.value;
  if (own !== undefined && own !== "") return config;
  const part = getPart(object, ...path) ?? makeValue(object.start, undefined);
  return {
    ...config,
    value: { ...config.value as object, name: part.value },
    entries: [
      ...config.entries.filter(({ key }) => key !== "name"),
      { key: "name", start: part.start, part },
    ],
  };
}

/**
 * A kind with one plugin, and in `metaPlugins` those behind it.
 *
 * @param copied keys of `spec` that hold JSON and become keys of the plugin
 */
function chained(type: string, cniVersion: string, copied: readonly string[]): Kind {
  const render = (object: Part, text: string) => {
    const spec = specOf(object);
    const keys = copied.flatMap((key) => {
      const part = getFilled(spec, key);
      return part ? [[key, parseText(text, part, `spec.${key}`)] as const] : [];
    });
    const first = makeObject(spec.start, { type: makeValue(spec.start, type), ...Object.fromEntries(keys) });
    const config = makeNetwork(object, cniVersion, [first, ...readMetaPlugins(spec, text)]);
    return { config, resource: resourceOf(spec), madeFrom: String(getPart(object, "kind")?.value) };
  };
  return { render, dropped: dropped('write "metaPlugins"', "metaPluginsConfig") };
}

/** The operators paste the text into a list. */
function readMetaPlugins(spec: Part, text: string): Part[] {
  const written = getFilled(spec, "metaPlugins");
  if (!written) return [];
  const { entries } = parseText(text, written, "spec.metaPlugins", ["[", "]"]);
  const plugins = entries.map(({ part }) => part);
  const odd = plugins.find(({ value }) => !isObject(value));
  if (!odd) return plugins;
  const found = Array.isArray(odd.value) ? "a list" : "something else";
  throw new TextError(
    `spec.metaPlugins has ${found} where a plugin has to be: write objects with commas between them, without [ and ]`,
    odd.start,
  );
}

/** The values of `cniType`, and the keys of `spec` that go with them; with "custom" there is a whole configuration. */
const SPIDERPOOL_TYPES: Readonly<Record<string, string>> = {
  macvlan: "macvlan",
  ipvlan: "ipvlan",
  sriov: "sriov",
  "ib-sriov": "ibsriov",
  ipoib: "ipoib",
  ovs: "ovs",
};

function renderSpiderpool(object: Part, text: string): Rendered {
  const spec = specOf(object);
  const { cniType: type, enableCoordinator } = spec.value as Record<string, unknown>;
  const key = SPIDERPOOL_TYPES[String(type)];
  const own = key === undefined ? undefined : getPart(spec, key);
  const resource = own && resourceOf(own) || annotationOf(object, RESOURCE_ANNOTATION);
  if (key === undefined) {
    const custom = getFilled(spec, "customCNI");
    return {
      config: custom ? parseNetwork(text, custom, "spec.customCNI") : makeNetwork(object, "0.3.1", []),
      resource,
    };
  }
  const { start } = own ?? spec;
  const make = (keys: object) => {
    const parts = Object.entries(keys).map(([key, value]) => [key, makeValue(start, value)]);
    return makeObject(start, Object.fromEntries(parts));
  };
  // The API server fills in true for ib-sriov, and for the coordinator.
  const rdmaIsolation = (own && getPart(own, "rdmaIsolation"))?.value ?? type === "ib-sriov";
  const chain = getPart(spec, "chainCNIJsonData");
  const plugins = [
    make(type === "ib-sriov" ? { type, rdmaIsolation } : { type }),
    ...(type === "sriov" && rdmaIsolation === true ? [make({ type: "rdma" })] : []),
    ...(enableCoordinator === false ? [] : [make({ type: "coordinator" })]),
    ...(chain ? itemsIn(chain) : []).map((item) => parseText(text, item, "spec.chainCNIJsonData")),
  ];
  const version = annotationOf(object, "multus.spidernet.io/cni-version") ?? "0.3.1";
  return { config: makeNetwork(object, version, plugins), resource };
}

function makeNetwork(object: Part, cniVersion: string, plugins: readonly Part[]): Part {
  const { start } = object;
  return makeObject(start, {
    cniVersion: makeValue(start, cniVersion),
    name: getPart(object, "metadata", "name") ?? makeValue(start, undefined),
    plugins: makeList(start, plugins),
  });
}

export const RESOURCE_ANNOTATION = "k8s.v1.cni.cncf.io/resourceName";

function annotationOf(object: Part, name: string): string | undefined {
  const value = getPart(object, "metadata", "annotations", name)?.value;
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The operators put a prefix before it that is in their environment. */
function resourceOf(spec: Part): string | undefined {
  const value = getFilled(spec, "resourceName")?.value;
  return value === undefined ? undefined : String(value);
}

function specOf(object: Part): Part {
  const spec = getPart(object, "spec");
  return spec && isObject(spec.value) ? spec : makeValue(object.start, {});
}

function getFilled(spec: Part, key: string): Part | undefined {
  const part = getPart(spec, key);
  return part === undefined || part.value === null || part.value === "" ? undefined : part;
}

/** @throws {TextError} that names the key */
function parseNetwork(text: string, part: Part, name: string): Part {
  const config = parseText(text, part, name);
  if (!isObject(config.value)) throw new TextError(`${name} is no JSON object`, config.start);
  return config;
}

/** @throws {TextError} that names the key */
function parseText(text: string, part: Part, name: string, wrap?: readonly [string, string]): Part {
  if (typeof part.value !== "string") {
    throw new TextError(`${name} is no string: it has to be JSON, written as text`, part.start);
  }
  try {
    return parseEmbedded(text, part, wrap);
  } catch (cause) {
    if (!(cause instanceof TextError)) throw cause;
    throw new TextError(`${name} is not JSON: ${cause.message}`, cause.offset, { cause });
  }
}
