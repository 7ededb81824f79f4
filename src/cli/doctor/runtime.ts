/** The container runtime: where it looks for plugins and networks, and what its containers inherit from it. */
import { quote } from "../../node/fate.ts";
import { ok, type Verdict, warning } from "../report.ts";
import { parse } from "deno-std/toml/parse.js";
import { list, readText } from "../../kernel/sysfs.ts";
import { isObject } from "../../plugin/config/rules.ts";
import { directoryOf } from "../../sys/files.ts";
import type { ExaminedNode } from "./finding.ts";

interface Program {
  /** The file of its configuration, unless its command line names another. */
  readonly config: string;
  /** Directory of files that each overrule the one before. */
  readonly more?: string;
}

/** By the names of their processes. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  crio: { config: "/etc/crio/crio.conf", more: "/etc/crio/crio.conf.d" },
  containerd: { config: "/etc/containerd/config.toml" },
};

/** The runtime that runs on this node. */
export interface Runtime {
  readonly name: string;
  readonly pid: number;
  /** Its directories of plugins; none if its configuration does not say. */
  readonly pluginDirectories: readonly string[];
  /** Its directory of networks, if its configuration says so. */
  readonly networkDirectory?: string | undefined;
}

/** The runtime of a node, by its process; undefined when none runs. */
export function findRuntime(root: string): Runtime | undefined {
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const [pid] = findProcesses(root, name);
    if (pid !== undefined) return { name, pid, ...readSettings(root, pid, program) };
  }
  return undefined;
}

/** Lists the processes of a name, of which the kernel keeps 15 bytes, proc(5). */
export function findProcesses(root: string, name: string): number[] {
  const pids = list(`${root}/proc`).map(Number).filter(Number.isInteger).sort((a, b) => a - b);
  return pids.filter((pid) => readText(`${root}/proc/${pid}/comm`) === name);
}

type Settings = Pick<Runtime, "pluginDirectories" | "networkDirectory">;

function readSettings(root: string, pid: number, { config, more }: Program): Settings {
  const named = findOption((readText(`${root}/proc/${pid}/cmdline`) ?? "").split("\0")) ?? config;
  const first = readToml(`${root}${named}`);
  const imports = asList(first["imports"]).flatMap((pattern) => expand(root, pattern, directoryOf(named)));
  const fragments = more === undefined ? [] : list(`${root}${more}`).map((name) => `${root}${more}/${name}`);
  const settings = [first, ...[...imports, ...fragments].map(readToml)].map(findSettings);
  return {
    pluginDirectories: settings.map((one) => one.pluginDirectories).findLast(({ length }) => length > 0) ??
      [],
    networkDirectory: settings.findLast(({ networkDirectory }) => networkDirectory)?.networkDirectory,
  };
}

/** `-c FILE`, `--config FILE` or `--config=FILE`. */
function findOption(words: readonly string[]): string | undefined {
  const index = words.findIndex((word) => /^(?:-c|--config)(?:=|$)/.test(word));
  const [, value] = /=(.+)/.exec(words[index] ?? "") ?? [];
  return index < 0 ? undefined : value ?? words[index + 1];
}

/** A file that is missing or broken says nothing: the runtime's own defaults apply, or it would not run. */
function readToml(path: string): Record<string, unknown> {
  try {
    return parse(readText(path) ?? "");
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** The files that a pattern of containerd's `imports` means: a "*" in the name stands for any text. */
function expand(root: string, pattern: string, from: string): string[] {
  const path = pattern.startsWith("/") ? pattern : `${from}/${pattern}`;
  const directory = directoryOf(path);
  const parts = path.slice(directory.length + 1).split("*");
  return list(`${root}${directory}`).filter((name) => {
    const [head = "", tail = ""] = parts;
    return parts.length === 1 ? name === head : name.startsWith(head) && name.endsWith(tail);
  }).map((name) => `${root}${directory}/${name}`);
}

/**
 * CRI-O has them in `crio.network`; containerd in the table `cni` of its CRI plugin, whose name depends on the version
 * of the configuration (containerd's docs/cri/config.md).
 */
function findSettings({ crio, plugins }: Record<string, unknown>): Settings {
  const tables = [
    isObject(crio) ? crio["network"] : undefined,
    ...Object.values(isObject(plugins) ? plugins : {}).map((plugin) =>
      isObject(plugin) ? plugin["cni"] : undefined
    ),
  ].filter(isObject);
  const pluginDirectories = tables.flatMap(({ plugin_dirs, bin_dirs, bin_dir }) =>
    [plugin_dirs, bin_dirs, [bin_dir]].flatMap(asList)
  );
  const [networkDirectory] = tables.flatMap(({ network_dir, conf_dir }) => asList([network_dir, conf_dir]));
  return {
    pluginDirectories: pluginDirectories.map(withoutSlash),
    networkDirectory: networkDirectory === undefined ? undefined : withoutSlash(networkDirectory),
  };
}

function asList(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string" && one !== "") : [];
}

function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/+$/, "");
}

/** The directory that most runtimes use. */
const DEFAULT_DIRECTORY = "/opt/cni/bin";

/**
 * The directory in which the runtime looks for this plugin: the named one, else that of the running program if it is
 * called as the plugin, else what the runtime's configuration says.
 */
export function findCniBinDir({ root, executable, cniBinDir }: ExaminedNode): string {
  if (cniBinDir !== undefined) return cniBinDir;
  if (executable.endsWith("/rdma")) return directoryOf(executable);
  return findConfiguredDirectory(root);
}

/** The directory in which the runtime looks for plugins, by its configuration. */
export function findConfiguredDirectory(root: string): string {
  const directories = findRuntime(root)?.pluginDirectories ?? [];
  return directories.find((directory) => list(`${root}${directory}`).includes("rdma")) ?? directories[0] ??
    DEFAULT_DIRECTORY;
}

const GIB = 1024 ** 3;

/** Examines whether programs in containers may lock the memory that RDMA needs. They inherit the limit from the runtime. */
export function examineRuntime(root: string): Verdict[] {
  const runtime = findRuntime(root);
  if (!runtime) return [ok("neither containerd nor CRI-O runs here")];
  const { name, pid } = runtime;
  const limits = readText(`${root}/proc/${pid}/limits`) ?? "";
  const [, limit] = /^Max locked memory +(\S+)/m.exec(limits) ?? [];
  if (limit === undefined) return [ok(`${name} (process ${pid})`)];
  const isEnough = limit === "unlimited" || Number(limit) >= GIB;
  const text = `${name} (process ${pid}) gives containers ${formatLimit(limit)}`;
  return [
    isEnough ? ok(text) : warning(
      `${text}, want 1 GiB or more: programs in pods cannot register memory, or do without RDMA; running pods keep the old limit`,
      raiseLimit(readUnit(root, pid) ?? `${name}.service`),
    ),
  ];
}

function formatLimit(limit: string): string {
  return limit === "unlimited"
    ? "locked memory without a limit"
    : `${Math.floor(Number(limit) / 1024)} KiB of locked memory`;
}

/** systemd names the cgroup of a service after it. */
function readUnit(root: string, pid: number): string | undefined {
  const [, unit] = /\/([^/\n]+\.service)(?:\/|$)/m.exec(readText(`${root}/proc/${pid}/cgroup`) ?? "") ?? [];
  return unit;
}

function raiseLimit(unit: string): string {
  const directory = quote(`/etc/systemd/system/${unit}.d`);
  return `mkdir -p ${directory}; printf '[Service]\\nLimitMEMLOCK=infinity\\n' > ${directory}/memlock.conf; ` +
    `systemctl daemon-reload; systemctl restart ${quote(unit)}`;
}
