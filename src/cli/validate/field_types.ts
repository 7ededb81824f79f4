/** Types of keys in the kinds that people write: the API server refuses an object with another one. */
import { isObject } from "../../plugin/config/rules.ts";
import { problem } from "../report.ts";
import type { NetworkVerdict } from "./network.ts";
import { getPart, type Part } from "./part.ts";

interface FieldType {
  readonly matches: (value: unknown) => boolean;
  readonly name: string;
  readonly fix: string;
}

const TYPES = {
  string: {
    matches: (value) => typeof value === "string",
    name: "a string",
    fix: "put the value in quotes",
  },
  integer: { matches: Number.isInteger, name: "an integer", fix: "write a number without quotes" },
  boolean: {
    matches: (value) => typeof value === "boolean",
    name: "true or false",
    fix: "write true or false without quotes",
  },
  list: { matches: Array.isArray, name: "a list", fix: 'write "- " before each item' },
} as const satisfies Record<string, FieldType>;

type TypeName = keyof typeof TYPES;

/** The keys below `spec`, by their type. Not those that hold JSON, which is parsed. */
const FIELDS: Readonly<Record<string, Partial<Readonly<Record<TypeName, readonly string[]>>>>> = {
  SriovNetwork: {
    string: [
      ...["resourceName", "networkNamespace", "spoofChk", "trust", "linkState", "vlanProto"],
      ...["logLevel", "logFile"],
    ],
    integer: ["vlan", "vlanQoS", "minTxRate", "maxTxRate"],
  },
  SriovIBNetwork: { string: ["resourceName", "networkNamespace", "linkState"] },
  OVSNetwork: {
    string: ["resourceName", "networkNamespace", "bridge", "interfaceType"],
    integer: ["vlan", "mtu"],
    list: ["trunk"],
  },
  MacvlanNetwork: { string: ["networkNamespace", "master", "mode"], integer: ["mtu"] },
  HostDeviceNetwork: { string: ["resourceName", "networkNamespace"] },
  SpiderMultusConfig: {
    string: [
      ...["cniType", "sriov.resourceName", "ibsriov.resourceName", "ibsriov.pkey", "ibsriov.linkState"],
      ...["ipoib.master", "ovs.bridge"],
    ],
    integer: ["sriov.vlanID", "sriov.minTxRateMbps", "sriov.maxTxRateMbps", "ovs.vlan"],
    boolean: [
      ...["enableCoordinator", "disableIPAM", "sriov.rdmaIsolation"],
      ...["ibsriov.rdmaIsolation", "ibsriov.ibKubernetesEnabled"],
    ],
    list: ["chainCNIJsonData", "macvlan.master", "ipvlan.master", "ovs.trunk"],
  },
};

/** Judges the types of an object's keys. */
export function judgeFieldTypes(object: Part, text: string): NetworkVerdict[] {
  const kind = String(getPart(object, "kind")?.value);
  return Object.entries(FIELDS[kind] ?? {}).flatMap(([type, names]) => {
    const { matches, name, fix } = TYPES[type as TypeName];
    return names.flatMap((field) => {
      const path = ["spec", ...field.split(".")];
      const part = getPart(object, ...path);
      if (part === undefined || part.value === null) return [];
      const value = readAsKubectl(part, text);
      if (matches(value)) return [];
      const found = value === part.value ? describe(value) : `${value}, as kubectl reads it`;
      return [{ path, ...problem(`${path.join(".")} must be ${name}, but is ${found}`, fix) }];
    });
  });
}

/** Returns true or false for words in no quotes that are so in YAML 1.1, which kubectl reads, and strings in YAML 1.2. */
function readAsKubectl({ start, value }: Part, text: string): unknown {
  if (typeof value !== "string" || !text.startsWith(value, start)) return value;
  return /^(?:yes|on)$/i.test(value) ? true : /^(?:no|off)$/i.test(value) ? false : value;
}

function describe(value: unknown): string {
  return Array.isArray(value) ? "a list" : isObject(value) ? "an object" : JSON.stringify(value);
}
