import { getRdmaDriver, listVerbsDevices } from "../../kernel/inventory.ts";
import { isSameNetns } from "../../plugin/recorded_netns.ts";
import { State, type StateEntry } from "../../plugin/state.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { listNamespaces, type Namespace } from "./namespaces.ts";
import { type Node, quote } from "./node.ts";
import { stateFolder } from "./records.ts";

/** The RDMA devices and the namespaces they are in, a line for each namespace. */
export function examineDevices(node: Node): Finding[] {
  const { kernel, root } = node;
  const atHome = namesOf(kernel.hostNetns.listRdmaDevices());
  const isShared = kernel.getRdmaMode() === "shared";
  const away = isShared ? [] : listNamespaces(kernel).filter(({ devices }) => devices.length > 0);
  const known = [...atHome, ...away.flatMap(({ devices }) => namesOf(devices))];
  const lost = isShared ? [] : listVerbsDevices(root).filter((name) => !known.includes(name));
  if (known.length + lost.length === 0) {
    return [problem(
      "devices",
      "there is no RDMA device",
      "load the RDMA module that goes with the adapter's driver (mlx5_ib for mlx5_core, irdma for iavf)",
    )];
  }
  const here = isShared ? "seen by every namespace" : "in the host's namespace";
  const records = new State(stateFolder(root)).list();
  return [
    ok("devices", `${here}: ${atHome.join(", ") || "none"}`),
    ...away.map((namespace) => examineNamespace(namespace, records)),
    ...examineDrivers(root, atHome),
    ...lost.map((name) =>
      warning(
        "devices",
        `${name} is in a namespace that no file and no process leads to`,
        "it comes home when that namespace ends; if it does not, rebind its function or reboot",
      )
    ),
  ];
}

/**
 * Those whose drivers cannot take a device away from programs, without which the kernel moves none: by the names of
 * their PCI drivers. None of them has disassociate_ucontext, up to kernel 7.3.
 */
const IMMOVABLE: ReadonlyMap<string, string> = new Map([
  ["efa", "AWS EFA"],
  ["qede", "qedr"],
  ["cxgb4", "cxgb4"],
  ["bng_en", "bng_re"],
]);

function examineDrivers(root: string, names: readonly string[]): Finding[] {
  return names.flatMap((name) => {
    const kind = IMMOVABLE.get(getRdmaDriver(name, root) ?? "");
    if (kind === undefined) return [];
    return [warning(
      "devices",
      `${name} cannot be moved into a pod: its driver (${kind}) cannot take it away from programs`,
      "use another adapter (mlx5, mlx4, irdma, bnxt_re, hns, mana, erdma, ionic) for pods",
    )];
  });
}

function examineNamespace(namespace: Namespace, records: readonly StateEntry[]): Finding {
  const text = `in ${namespace.path}: ${namesOf(namespace.devices).join(", ")}`;
  const entry = records.find(({ record }) => record?.netns && isSameNetns(namespace, record.netns));
  const { attachment } = entry?.record ?? {};
  if (attachment) {
    const { containerID, ifname, network } = attachment;
    return ok("devices", `${text} (container ${containerID}, ${ifname}, network ${network})`);
  }
  return records.some(({ record }) => record && !record.netns && hasDevice(namespace, record))
    ? ok("devices", `${text} (recorded by the Go plugin)`)
    : warning(
      "devices",
      `${text}, which no record of the plugin tells of`,
      `unless another program put them there, end the namespace, so that they come home: ${
        endCommand(namespace)
      }`,
    );
}

function endCommand({ path, processes }: Namespace): string {
  const kill = processes.length > 0 ? [`kill ${processes.map(({ pid }) => pid).join(" ")}`] : [];
  return [...kill, ...unmountCommand(path)].join("; ");
}

/** A mount of another mount namespace can be undone only there; below /proc else nothing is mounted. */
function unmountCommand(path: string): string[] {
  const [, pid, inside] = /^\/proc\/(\d+)\/root(\/.+)$/.exec(path) ?? [];
  if (pid !== undefined && inside !== undefined) return [`nsenter -t ${pid} -m umount ${quote(inside)}`];
  return path.startsWith("/proc/") ? [] : [`umount ${quote(path)}`];
}

function hasDevice({ devices }: Namespace, record: NonNullable<StateEntry["record"]>): boolean {
  return record.devices.some(({ podName }) => devices.some(({ name }) => name === podName));
}

function namesOf(devices: readonly { readonly name: string }[]): string[] {
  return devices.map(({ name }) => name);
}
