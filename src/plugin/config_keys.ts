/**
 * Every key of the network configuration that the plugin reads. From this table come the check that each call makes,
 * the zod schema, the types, the JSON Schema and the table in docs/configuration.md (`deno task schema`).
 */
import { IDENTIFIER, IDENTIFIER_RULE } from "../cni/environment.ts";
import { LOG_LEVELS } from "../log.ts";
import type { Keys, ObjectOf } from "./rules.ts";

/** Below the directory that the specification gives, in either spelling (device-info-spec 1.1.0, section 4), or empty. */
const DEVICE_INFO_PATH =
  /^(?:\/(?:var\/)?run\/k8s\.cni\.cncf\.io\/devinfo(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+)?$/;

const BYTE = { type: "integer", min: 0, max: 255 } as const;

const ATTACHMENTS = {
  type: "list",
  items: {
    type: "object",
    keys: { containerID: { type: "string", required: true }, ifname: { type: "string", required: true } },
  },
} as const;

export const KEYS = {
  cniVersion: {
    type: "string",
    description: "version of the CNI specification that the configuration follows",
  },
  name: {
    type: "string",
    form: { pattern: IDENTIFIER, text: IDENTIFIER_RULE },
    required: true,
    description: "name of the network, unique on a node",
  },
  type: { type: "string", description: "name of the plugin's executable" },
  deviceID: {
    type: "string",
    since: "0.1.0",
    description:
      "the function: a PCI address (`0000:3b:00.2`) or an auxiliary device (`mlx5_core.sf.4`); Multus fills it in from the resource",
  },
  allowPF: {
    type: "boolean",
    default: true,
    since: "0.1.0",
    description:
      "whether the RDMA device of a physical function may be moved; a warning lists what depends on it",
  },
  rdmaDeviceName: {
    type: "string",
    since: "0.1.0",
    description: "[name of the RDMA devices](#a-stable-name-in-the-pod) in the pod",
  },
  rdmaDeviceNameConflict: {
    type: "enum",
    values: ["fail", "keep"],
    default: "fail",
    since: "0.1.0",
    description:
      "what to do when the name in `rdmaDeviceName` is taken: fail the ADD, or let the device keep its name",
  },
  rdmaDevices: {
    type: "either",
    options: [
      { type: "enum", values: ["all", "first"] },
      {
        type: "list",
        items: {
          type: "either",
          options: [
            { type: "string", form: { pattern: /[\s\S]/, text: "must not be empty" } },
            { type: "integer", min: 1 },
          ],
          text: "must be a name or a number from 1",
        },
        minItems: 1,
      },
    ],
    text: 'must be "all", "first", or a list of names and of numbers from 1',
    default: "all",
    since: "0.1.0",
    description:
      "which RDMA devices to move when a function has several; a list holds host names, or numbers from 1",
  },
  optional: {
    type: "boolean",
    default: false,
    since: "0.1.0",
    description:
      "whether a pod may start without RDMA, with a warning, when its function or the node has no RDMA device",
  },
  onSharedMode: {
    type: "enum",
    values: ["fail", "skip"],
    default: "fail",
    since: "0.1.0",
    description: "what ADD does in namespace mode `shared`: fail, or pass prevResult on with a warning",
  },
  rdmaQoS: {
    type: "object",
    keys: {
      trafficClass: {
        ...BYTE,
        since: "0.1.0",
        description: "traffic class of everything the devices send, whatever programs ask for",
      },
      tos: {
        ...BYTE,
        since: "0.1.0",
        description: "default type of service of RDMA CM connections, unless a program sets one",
      },
    },
    closed: true,
    since: "0.1.0",
    description: "[RoCE QoS](#roce-qos) of the devices in the pod: `trafficClass`, `tos`, or both",
  },
  logLevel: {
    type: "enum",
    values: LOG_LEVELS,
    default: "info",
    since: "0.1.0",
    description: "the lowest level that is logged",
  },
  logFile: {
    type: "string",
    form: { pattern: /^(\/[^\n]*)?$/, text: "must be an absolute path" },
    since: "0.1.0",
    description: "absolute path of a log file, used besides standard error; a symbolic link is refused",
  },
  args: {
    type: "object",
    keys: {
      cni: {
        type: "object",
        keys: {
          debug: {
            type: "boolean",
            default: false,
            since: "0.1.0",
            description: "the same as `logLevel` `debug`",
          },
          rdmaDeviceName: {
            type: "string",
            since: "0.1.0",
            description: "the same as `rdmaDeviceName`, for one pod; takes precedence",
          },
        },
        description: "arguments by the conventions of CNI",
      },
    },
    description: "arguments for plugins, grouped by whose convention they follow",
  },
  runtimeConfig: {
    type: "object",
    keys: {
      deviceID: {
        type: "string",
        since: "0.1.0",
        description:
          "the same as `deviceID`, set by runtimes that use the capability of that name; takes precedence",
      },
      CNIDeviceInfoFile: {
        type: "string",
        form: { pattern: DEVICE_INFO_PATH, text: "must be a file below /var/run/k8s.cni.cncf.io/devinfo" },
        since: "0.1.0",
        description:
          "path of the [device information file](#device-information-file), set by runtimes that use the capability of that name",
      },
    },
    description: "what the runtime passes for the capabilities that the plugin declares",
  },
  prevResult: {
    type: "object",
    keys: {
      cniVersion: { type: "string" },
      interfaces: {
        type: "list",
        items: {
          type: "object",
          keys: {
            name: { type: "string" },
            mac: { type: "string" },
            sandbox: { type: "string" },
            pciID: { type: "string" },
          },
        },
      },
    },
    description: "result of the plugin before this one; the runtime adds it",
  },
  "cni.dev/valid-attachments": {
    ...ATTACHMENTS,
    description: "attachments that are still there; the runtime adds them for GC",
  },
  "cni.dev/attachments": {
    ...ATTACHMENTS,
    description: "the same as `cni.dev/valid-attachments`, from older runtimes",
  },
} as const satisfies Keys;

/** A configuration as it comes, checked. */
export type RawConfig = ObjectOf<typeof KEYS>;
