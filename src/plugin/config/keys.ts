/**
 * Every key of the network configuration that the plugin reads. From this table come the check that each call makes,
 * the zod schema, the types, the JSON Schema and the table in docs/configuration.md (`deno task schema`).
 */
import { IDENTIFIER, IDENTIFIER_RULE } from "../../cni/environment.ts";
import { LOG_LEVELS } from "../../log.ts";
import type { Key, Keys, ObjectOf } from "./rules.ts";

/** Below the directory that the specification gives, in either spelling (device-info-spec 1.1.0, section 4), or empty. */
const DEVICE_INFO_PATH = {
  pattern: /^(?:\/(?:var\/)?run\/k8s\.cni\.cncf\.io\/devinfo(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+)?$/,
  text: "must be a file below /var/run/k8s.cni.cncf.io/devinfo",
};

/** The plugin would run itself, forever if the configuration were its own. */
const DELEGATE_TYPE = { pattern: /^(?!rdma$)[^/\0]+$/, text: 'must be the name of a plugin, but not "rdma"' };

const DEVICE = {
  type: "either",
  options: [
    { type: "string", form: { pattern: /[\s\S]/, text: "must not be empty" } },
    { type: "integer", min: 1 },
  ],
  text: "must be a name or a number from 1",
} as const;

/** The numbers that the kernel takes for a limit (rdma.c, RDMACG_MAX_STR stands for S32_MAX). */
const LIMIT = {
  type: "either",
  options: [{ type: "integer", min: 0, max: 0x7fff_fffe }, { type: "enum", values: ["max"] }],
  text: 'must be an integer from 0 to 2147483646, or "max"',
  since: "0.2.0",
} as const;

const REQUIRED = { type: "string", required: true } as const;
const ATTACHMENT = { type: "object", keys: { containerID: REQUIRED, ifname: REQUIRED } } as const;
const STRING = { type: "string" } as const;
const BYTE = { type: "integer", min: 0, max: 255 } as const;

export const KEYS = {
  cniVersion: key(STRING, "version of the CNI specification that the configuration follows"),
  name: key(
    { type: "string", form: { pattern: IDENTIFIER, text: IDENTIFIER_RULE }, required: true },
    "name of the network, unique on a node",
  ),
  type: key(STRING, "name of the plugin's executable"),
  deviceID: key(
    { type: "string", since: "0.1.0" },
    "the function: a PCI address (`0000:3b:00.2`) or an auxiliary device (`mlx5_core.sf.4`); Multus fills it in from the resource",
  ),
  allowPF: key(
    { type: "boolean", default: true, since: "0.1.0" },
    "whether the RDMA device of a physical function may be moved; a warning lists what depends on it",
  ),
  rdmaDeviceName: key(
    { type: "string", since: "0.1.0" },
    "[name of the RDMA devices](#a-stable-name-in-the-pod) in the pod",
  ),
  rdmaDeviceNameConflict: key(
    { type: "enum", values: ["fail", "keep"], default: "fail", since: "0.1.0" },
    "what to do when the name in `rdmaDeviceName` is taken: fail the ADD, or let the device keep its name",
  ),
  rdmaDevices: key(
    {
      type: "either",
      options: [{ type: "enum", values: ["all", "first"] }, { type: "list", items: DEVICE, minItems: 1 }],
      text: 'must be "all", "first", or a list of names and of numbers from 1',
      default: "all",
      since: "0.1.0",
    },
    "which RDMA devices to move when a function has several; a list holds host names, or numbers from 1",
  ),
  delegate: key(
    {
      type: "object",
      keys: {
        type: key(
          { type: "string", form: DELEGATE_TYPE, required: true, since: "0.2.0" },
          "name of that plugin's executable",
        ),
      },
      since: "0.2.0",
    },
    "[the plugin that moves the interface](#one-plugin-instead-of-a-chain), for runtimes that run a single plugin",
  ),
  softRoCE: key(
    { type: "boolean", default: false, since: "0.2.0" },
    "whether the pod's interface gets a [Soft-RoCE device](#rdma-without-adapters), which needs no adapter but Linux 7.3",
  ),
  optional: key(
    { type: "boolean", default: false, since: "0.1.0" },
    "whether a pod may start without RDMA, with a warning, when its function or the node has no RDMA device",
  ),
  onSharedMode: key(
    { type: "enum", values: ["fail", "skip"], default: "fail", since: "0.1.0" },
    "what ADD does in namespace mode `shared`: fail, or pass prevResult on with a warning",
  ),
  rdmaQoS: key(
    {
      type: "either",
      options: [{ type: "enum", values: ["inherit"] }, {
        type: "object",
        keys: {
          trafficClass: key(
            { ...BYTE, since: "0.1.0" },
            "traffic class of everything the devices send, whatever programs ask for",
          ),
          tc: key(
            { ...BYTE, since: "0.2.0" },
            "the same as `trafficClass`, as NVIDIA's operators write it; a driver without one is a warning",
          ),
          tos: key(
            { ...BYTE, since: "0.1.0" },
            "default type of service of RDMA CM connections, unless a program sets one",
          ),
        },
      }],
      text: 'must be "inherit" or an object',
      since: "0.1.0",
    },
    "[RoCE QoS](#roce-qos) of the devices in the pod: `trafficClass`, `tos`, or both; `inherit` keeps the host's",
  ),
  rdmaLimits: key({
    type: "object",
    keys: {
      hcaHandle: key(LIMIT, "contexts, of which a program has one for each time that it opened the device"),
      hcaObject: key(
        LIMIT,
        "objects: protection domains, memory regions, completion queues, queue pairs and others",
      ),
    },
    since: "0.2.0",
  }, "[limits](#limits) of what a pod has on each of the devices: `hcaHandle`, `hcaObject`, or both"),
  requireActive: key(
    { type: "boolean", default: false, since: "0.2.0" },
    "whether ADD and CHECK fail, instead of logging a warning, while a device is [not ready](#ready-devices)",
  ),
  readyTimeoutMs: key(
    { type: "integer", min: 0, max: 60_000, default: 0, since: "0.2.0" },
    "milliseconds that ADD and CHECK wait for that with `requireActive`",
  ),
  lockTimeoutMs: key(
    { type: "integer", min: 0, max: 3_600_000, default: 100_000, since: "0.2.0" },
    "milliseconds that ADD, DEL and GC wait while [other calls](performance.md#many-pods-at-once) hold the lock",
  ),
  logLevel: key(
    { type: "enum", values: LOG_LEVELS, default: "info", since: "0.1.0" },
    "the lowest level that is logged",
  ),
  logFile: key(
    {
      type: "string",
      form: { pattern: /^(\/[^\n]*)?$/, text: "must be an absolute path" },
      since: "0.1.0",
    },
    "absolute path of a log file, used besides standard error; a symbolic link is refused",
  ),
  args: key({
    type: "object",
    keys: {
      cni: key({
        type: "object",
        keys: {
          debug: key(
            { type: "boolean", default: false, since: "0.1.0" },
            "the same as `logLevel` `debug`",
          ),
          rdmaDeviceName: key(
            { type: "string", since: "0.1.0" },
            "the same as `rdmaDeviceName`, for one pod; takes precedence",
          ),
        },
      }, "arguments by the conventions of CNI"),
    },
  }, "arguments for plugins, grouped by whose convention they follow"),
  runtimeConfig: key({
    type: "object",
    keys: {
      deviceID: key(
        { type: "string", since: "0.1.0" },
        "the same as `deviceID`, set by runtimes that use the capability of that name; takes precedence",
      ),
      CNIDeviceInfoFile: key(
        { type: "string", form: DEVICE_INFO_PATH, since: "0.1.0" },
        "path of the [device information file](#device-information-file), set by runtimes that use the capability of that name",
      ),
    },
  }, "what the runtime passes for the capabilities that the plugin declares"),
  prevResult: key({
    type: "object",
    keys: {
      cniVersion: STRING,
      interfaces: {
        type: "list",
        items: { type: "object", keys: { name: STRING, mac: STRING, sandbox: STRING, pciID: STRING } },
      },
    },
  }, "result of the plugin before this one; the runtime adds it"),
  "cni.dev/valid-attachments": key(
    { type: "list", items: ATTACHMENT },
    "attachments that are still there; the runtime adds them for GC",
  ),
  "cni.dev/attachments": key(
    { type: "list", items: ATTACHMENT },
    "the same as `cni.dev/valid-attachments`, from older runtimes",
  ),
} satisfies Keys;

/** A configuration as it comes, checked. */
export type RawConfig = ObjectOf<typeof KEYS>;

/** @param description for people, as Markdown */
function key<const K extends Key>(rule: K, description: string) {
  return { ...rule, description };
}
