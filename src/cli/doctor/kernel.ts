/** The kernel: its version, modules and namespace mode; and libmnl. */
import { quote } from "../../node/fate.ts";
import { type Level, ok, problem, type Verdict, warning } from "../report.ts";
import { LibmnlMissing, type RdmaMode } from "../../kernel/kernel.ts";
import { getModuleState, getRelease } from "../../kernel/modules.ts";
import { listNetworkFunctions } from "../../kernel/pci.ts";
import { exists, list } from "../../kernel/sysfs.ts";
import { CommandError } from "../errors.ts";
import { ownDirectoryIn } from "../install/layout.ts";
import { explainOldKernel, NEWER_KERNEL } from "../netns_mode/change.ts";
import { checkInitramfs, type ListImage } from "../netns_mode/initramfs.ts";
import { formatSource, type PersistedMode, readPersistedMode } from "../netns_mode/persist.ts";
import type { ExaminedNode } from "./finding.ts";
import { findCniBinDir, findProcesses } from "./runtime.ts";

/**
 * Examines whether the kernel has what the plugin needs: RDMA namespaces. It is asked, since adapters' driver packages
 * add them to kernels whose version does not show that. When it cannot be asked, other groups say why.
 */
export function examineKernel({ kernel, root }: ExaminedNode): Verdict[] {
  const release = getRelease(root);
  try {
    explainOldKernel(() => kernel.getRdmaMode());
  } catch (error) {
    if (!(error instanceof CommandError)) return [ok(release)];
    return [
      problem(`${release}: its RDMA subsystem does not support network namespaces`, `# ${NEWER_KERNEL}`),
    ];
  }
  const missing = listMissingFeatures(kernel);
  if (missing.length === 0) return [ok(release)];
  return [
    warning(`${release} works, but ${missing.join(", and ")}`, "# install kernel 5.14 or newer, reboot"),
  ];
}

function listMissingFeatures(kernel: ExaminedNode["kernel"]): string[] {
  const hostNetns = kernel.getHostNetns();
  const [pf] = kernel.listPhysicalFunctions();
  const link = pf && hostNetns.getLink(pf.name);
  return [
    ...(hostNetns.getCookie() === undefined
      ? ["it identifies namespaces only by numbers, which it reuses"]
      : []),
    ...(link && link.parentDevice === undefined
      ? ["it does not name the device below a network interface"]
      : []),
  ];
}

/** The RDMA modules of network drivers. */
export const RDMA_MODULES: ReadonlyMap<string, string> = new Map([
  ["mlx5_core", "mlx5_ib"],
  ["mlx4_core", "mlx4_ib"],
  ["ice", "irdma"],
  ["i40e", "irdma"],
  ["iavf", "irdma"],
  ["idpf", "irdma"],
  ["bnxt_en", "bnxt_re"],
  ["hns3", "hns_roce_hw_v2"],
  ["hclge", "hns_roce_hw_v2"],
  ["mana", "mana_ib"],
  ["ionic", "ionic_rdma"],
]);

/** A module that this node needs. */
interface Requirement {
  readonly name: string;
  readonly level: Level;
  readonly why: string;
}

const CORE: readonly Requirement[] = [
  { name: "ib_core", level: "problem", why: "there is no RDMA subsystem without it" },
  { name: "ib_uverbs", level: "problem", why: "programs in pods cannot use RDMA devices without it" },
  { name: "rdma_ucm", level: "warning", why: "programs in pods cannot use RDMA CM without it" },
];

/** Examines whether the modules of the RDMA subsystem and of this node's adapters are loaded. */
export function examineModules(root: string): Verdict[] {
  const findings = [...CORE, ...requiredModules(root)].map((module) => examineModule(module, root));
  const present = findings.filter(({ level }) => level === "ok").map(({ text }) => text);
  const absent = findings.filter(({ level }) => level !== "ok");
  return present.length > 0 ? [ok(present.join(", ")), ...absent] : absent;
}

function requiredModules(root: string): Requirement[] {
  const bound = new Set(listNetworkFunctions(root).map(({ driver }) => driver ?? ""));
  const wanted = new Map<string, string>();
  for (const driver of bound) {
    const name = RDMA_MODULES.get(driver);
    if (name !== undefined) wanted.set(name, driver);
  }
  // Not a problem: an adapter may not be used for RDMA.
  return Array.from(wanted, ([name, driver]) => {
    return { name, level: "warning", why: `functions of driver ${driver} have no RDMA devices without it` };
  });
}

function examineModule({ name, level, why }: Requirement, root: string): Verdict {
  const state = getModuleState(name, root);
  if (state === "loaded" || state === "built in") return ok(`${name} ${state}`);
  if (state === "not loaded") {
    const fix = `modprobe ${name} && echo ${name} > /etc/modules-load.d/${name}.conf`;
    return { level, text: `${name} is not loaded: ${why}`, fix };
  }
  const text = `${name} is not among the modules of kernel ${getRelease(root)}: ${why}`;
  const packages = "linux-modules-extra, kernel-modules-extra";
  return { level, text, fix: `# install the package with the rest of this kernel's modules (${packages})` };
}

/** Of these programs a node has one. */
const INSTALL = "apt-get install libmnl0 || dnf install libmnl || zypper install libmnl0";

/** The groups that leave it to this one to say so. */
const UNSEEN = "; without it mode, VFs, devices and records cannot be examined";

/** Examines whether the plugin will find libmnl: the system's, or its copy. */
export function examineLibmnl(node: ExaminedNode): Verdict[] {
  try {
    return [ok(`found: ${node.kernel.findLibmnl()}`)];
  } catch (error) {
    if (!(error instanceof LibmnlMissing)) throw error;
    const copy = `${ownDirectoryIn(findCniBinDir(node))}/libmnl.so.0`;
    return exists(`${node.root}${copy}`)
      ? [warning(`the installed plugin has a copy, ${copy}, but this program finds none${UNSEEN}`, INSTALL)]
      : [problem(`${error.message}${UNSEEN}`, INSTALL)];
  }
}

/** Examines the namespace mode now and after a reboot. */
export function examineMode({ kernel, root, executable }: ExaminedNode): Verdict[] {
  const persisted = readPersistedMode(root);
  const now = explainOldKernel(() => kernel.getRdmaMode());
  return [
    ...judgeMode(now, persisted, quote(executable)),
    ...examineInitramfs(root, persisted),
    ...now === "exclusive" ? examineSharedDevicePlugin(root) : [],
  ];
}

/** The process of k8s-rdma-shared-dev-plugin, as far as the kernel keeps its name; and the pods of its DaemonSet. */
const SHARED_PROCESS = "k8s-rdma-shared";
const SHARED_POD = /^[^_]+_(rdma-shared-d[^_]*)_/;

/** In mode exclusive k8s-rdma-shared-dev-plugin ends at once, again and again; kubelet keeps the logs of its pod. */
function examineSharedDevicePlugin(root: string): Verdict[] {
  const runs = findProcesses(root, SHARED_PROCESS).length > 0;
  const [pod] = list(`${root}/var/log/pods`).flatMap((name) => SHARED_POD.exec(name)?.[1] ?? []);
  if (!runs && pod === undefined) return [];
  const what = `k8s-rdma-shared-dev-plugin is deployed on this node${
    pod === undefined ? "" : ` (pod ${pod})`
  }`;
  return [warning(
    `${what}, but does not run in mode exclusive`,
    "# keep it off this node (its DaemonSet's nodeSelector), or set the mode to shared and do without this plugin",
  )];
}

/**
 * Examines whether the options in modprobe.d will apply: an initramfs with ib_core has its own copy, from when it was
 * built.
 *
 * @param listImage lists the files in an initramfs; by default with the distribution's program
 */
export function examineInitramfs(
  root: string,
  { mode, sources }: PersistedMode,
  listImage?: ListImage,
): Verdict[] {
  const file = sources.at(-1)?.file;
  if (mode !== "exclusive" || !file?.startsWith("/etc/modprobe.d/")) return [];
  const machine = { root, release: getRelease(root), ...(listImage ? { listImage } : {}) };
  const { state, image, rebuild } = checkInitramfs(file, machine);
  if (state !== "older") return [];
  return [
    warning(`${image} has ib_core and is older than ${file}: after a reboot the mode may differ`, rebuild),
  ];
}

/**
 * Judges the mode.
 *
 * @param program the command that starts this program, for commands that fix something
 */
export function judgeMode(now: RdmaMode, { mode, sources }: PersistedMode, program: string): Verdict[] {
  const last = sources.at(-1);
  const persist = `${program} netns-mode set exclusive --persist`;
  const why = last ? formatSource(last) : "nothing sets it, so the kernel's default applies";
  const later = `after a reboot ${mode ?? "shared"} (${why})`;
  if (now === "shared") {
    const set = mode === "exclusive" ? `${program} netns-mode set exclusive` : persist;
    const fix = `${set} # reboot if the kernel refuses it now`;
    return [problem(`shared now, want exclusive: no RDMA device can be moved into a pod; ${later}`, fix)];
  }
  return mode === "exclusive"
    ? [ok(`exclusive now, ${later}`)]
    : [warning(`exclusive now, but ${later}`, persist)];
}
