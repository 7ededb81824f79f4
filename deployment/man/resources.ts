/** The files and the variables of the environment that the plugin and the commands use. */
import { ownDirectoryIn, pluginIn } from "../../src/cli/install/layout.ts";
import { OPTIONS_FILE } from "../../src/cli/netns_mode/persist.ts";
import { COMMANDS } from "../../src/cni/environment.ts";
import { INDEX_DIRECTORY, NO_RDMA_DIRECTORY } from "../../src/plugin/record/memo.ts";
import { STATE_DIRECTORY } from "../../src/plugin/record/state.ts";
import { SETTINGS_FILE } from "./settings.ts";

export interface Resource {
  readonly name: string;
  readonly text: string;
  /** The commands that use it. The plugin itself is none of them. */
  readonly commands: readonly string[];
}

/** The directory in which most runtimes look for plugins. */
const PLUGIN_DIRECTORY = "/opt/cni/bin";

export const FILES: readonly Resource[] = [
  {
    name: pluginIn(PLUGIN_DIRECTORY),
    text: "the plugin, in the directory in which most container runtimes look for plugins",
    commands: ["doctor", "install"],
  },
  {
    name: ownDirectoryIn(PLUGIN_DIRECTORY),
    text: "the installed version of the program, and libmnl for nodes that have none",
    commands: ["install"],
  },
  {
    name: SETTINGS_FILE,
    text: "settings of the systemd units, where a package installed them; see rdma-cni.conf(5)",
    commands: [],
  },
  { name: "/etc/cni/net.d", text: "the runtime's network configurations", commands: ["doctor"] },
  {
    name: STATE_DIRECTORY,
    text: "a record of each attachment; the directory itself is the lock of all calls",
    commands: ["doctor", "gc", "install", "pods", "vf-mac"],
  },
  { name: OPTIONS_FILE, text: "the persisted namespace mode", commands: ["doctor", "netns-mode"] },
  {
    name: INDEX_DIRECTORY,
    text: "the indexes that RDMA devices last had; may be removed at any time",
    commands: ["gc"],
  },
  {
    name: NO_RDMA_DIRECTORY,
    text: "virtual functions whose drivers created no RDMA device; may be removed at any time",
    commands: ["vf-mac"],
  },
];

export const ENVIRONMENT: readonly Resource[] = [
  { name: "CNI_COMMAND", text: `what the plugin is called for: ${COMMANDS.join(", ")}`, commands: [] },
  { name: "CNI_CONTAINERID", text: "the ID of the pod's sandbox", commands: [] },
  { name: "CNI_NETNS", text: "a path to the pod's network namespace", commands: [] },
  { name: "CNI_IFNAME", text: "the name of the pod's interface", commands: [] },
  { name: "CNI_ARGS", text: "more about the pod: its name, namespace and UID", commands: [] },
  { name: "CNI_PATH", text: "the directories with plugins, for the key delegate", commands: [] },
  { name: "TRACEPARENT", text: "the runtime's trace, whose ID is in the log and in errors", commands: [] },
  {
    name: "NO_COLOR",
    text: "if it is not empty, the output has no colours",
    commands: ["doctor", "validate"],
  },
];
