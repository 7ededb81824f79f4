/** Network functions and RDMA devices: their places, and what they lack. */
import { ok, problem, type Verdict, warning } from "../report.ts";
import { listNetworkFunctions, type NetworkFunction } from "../../kernel/pci.ts";
import { getRdmaDriver, list, listVerbsDevices } from "../../kernel/sysfs.ts";
import {
  endCommand,
  isRecordedAs,
  judge,
  nameOwner,
  ownerOf,
  quote,
  rebindCommand,
} from "../../node/fate.ts";
import { findFaults } from "../../node/faults.ts";
import { type Inventory, type Namespace, pathTo } from "../../node/inventory.ts";
import { findPlaces, type Places, without } from "../../node/places.ts";
import { collectPresent } from "../../node/pods.ts";
import type { StoredRecord } from "../../plugin/record/state.ts";
import { isRdmaMissing } from "../../kernel/kernel.ts";
import { isForVirtualMachines, listVfs, NO_ADMIN_ADDRESS, type VfStatus } from "../../node/functions.ts";
import type { ExaminedNode } from "./finding.ts";
import { RDMA_MODULES } from "./kernel.ts";

/**
 * Tells whether a node may have RDMA: it has a device or an adapter for it, or its mode was set for it. A function without
 * driver, and one for virtual machines, may be such an adapter.
 */
export function mayHaveRdma({ kernel, root }: ExaminedNode): boolean {
  const isAdapter = ({ driver, rdmaDevices }: NetworkFunction) =>
    rdmaDevices.length > 0 || driver === undefined || isForVirtualMachines(driver) ||
    RDMA_MODULES.has(driver) || IMMOVABLE.has(driver);
  try {
    return listVerbsDevices(root).length > 0 || listNetworkFunctions(root).some(isAdapter) ||
      kernel.getRdmaMode() === "exclusive" || kernel.getHostNetns().listRdmaDevices().length > 0;
  } catch (error) {
    return !isRdmaMissing(error); // another error is for the groups to report
  }
}

/** Examines the RDMA devices: those of the host, of each attachment, and those that no pod can get. */
export function examineDevices({ root }: ExaminedNode, inventory: Inventory): Verdict[] {
  const places = findPlaces(inventory);
  const onHost = listNames(places.onHost);
  const isShared = inventory.mode === "shared";
  const known = [
    ...places.onHost,
    ...[...places.inPods, ...places.strange].flatMap(({ devices }) => devices),
  ];
  const lost = isShared ? [] : without(listVerbsDevices(root), known);
  const recorded = listLost(inventory).map(({ deviceId }) => deviceId);
  if (known.length + lost.length === 0) {
    const fix = "# load the RDMA module of the adapter's driver (mlx5_ib for mlx5_core, irdma for iavf)";
    return [problem("there is no RDMA device", fix)];
  }
  const here = isShared ? "visible in every namespace" : "in the host namespace";
  return [
    ok(`${here}: ${onHost.join(", ") || "none"}`),
    ...examineAway(places, inventory),
    ...examineDrivers(root, onHost),
    ...lost.filter(({ deviceId = "" }) => !recorded.includes(deviceId)).map(({ name, deviceId }) =>
      problem(
        `${name} is in a namespace that no file and no process leads to: no pod can get it (error 111)`,
        rebindCommand(deviceId),
      )
    ),
  ];
}

/** Examines whether pods can use the devices that they have. */
export function examinePods({ kernel }: ExaminedNode, { records }: Inventory): Verdict[] {
  return findFaults(kernel, collectPresent(kernel, records)).map(({ record: _, ...verdict }) => verdict);
}

/**
 * PCI drivers whose RDMA drivers cannot disconnect a device from programs, as the kernel requires for a move: up to
 * Linux 7.3 none of them has disassociate_ucontext.
 */
const IMMOVABLE: ReadonlyMap<string, string> = new Map([
  ["efa", "AWS EFA"],
  ["qede", "qedr"],
  ["cxgb4", "cxgb4"],
  ["bng_en", "bng_re"],
]);

function examineDrivers(root: string, names: readonly string[]): Verdict[] {
  return names.flatMap((name) => {
    const kind = IMMOVABLE.get(getRdmaDriver(name, root) ?? "");
    return kind === undefined ? [] : warning(
      `${name} cannot be moved into a pod: its driver (${kind}) cannot disconnect it from programs`,
      "# use another adapter (mlx5, mlx4, irdma, bnxt_re, hns, mana, erdma, ionic) for pods",
    );
  });
}

/** The records of which the group "records" says where their devices are. */
function listLost(inventory: Inventory): StoredRecord[] {
  return inventory.records.filter((record) => judge(inventory, record, "").state === "lost");
}

/** A line for each attachment whose devices are away, in the order of the pods' names, and one for each namespace with others. */
function examineAway({ inPods, strange }: Places, inventory: Inventory): Verdict[] {
  const lines = inPods.map(({ record, devices }) =>
    `${nameOwner(ownerOf(record))}: ${listNames(devices).join(", ")}`
  );
  const lost = listLost(inventory).flatMap(({ devices }) => devices);
  return [
    ...lines.sort(compareNames).map(ok),
    ...strange.flatMap(({ namespace, devices }) => {
      const others = devices.filter((device) => !lost.some((one) => isRecordedAs(one)(device)));
      if (others.length === 0) return [];
      return problem(
        `${listNames(others).join(", ")} in ${pathTo(namespace)}, which no record of the plugin mentions: ` +
          "no pod can get it (error 111)",
        `${endCommand(namespace)} # unless another program put it there; it returns to the host`,
      );
    }),
  ];
}

/** Compares names by the numbers in them: mlx5_2 is before mlx5_10. */
function compareNames(one: string, other: string): number {
  const [a, b] = [one, other].map((name) => name.replaceAll(/\d+/g, (digits) => digits.padStart(20, "0")));
  return a! < b! ? -1 : Number(a! > b!);
}

function listNames(devices: readonly { readonly name: string }[]): string[] {
  return devices.map(({ name }) => name).sort(compareNames);
}

/** Formats numbers in ascending order: "0-3, 5". */
export function formatRanges(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of numbers) {
    const range = ranges.at(-1);
    if (range && range[1] === number - 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`).join(", ");
}

/** Examines physical functions, and warns when the node has neither VFs nor scalable functions. */
export function examineSriov(root: string): Verdict[] {
  const physical = listNetworkFunctions(root).filter(({ totalVfs }) => totalVfs > 0);
  const findings = physical.map((pf) => ok(describe(pf)));
  if (physical.some(({ enabledVfs }) => enabledVfs > 0)) return findings;
  // Such as mlx5_core.sf.4.
  const scalable = list(`${root}/sys/bus/auxiliary/devices`).filter((name) => /\.sf\.\d+$/.test(name));
  if (scalable.length > 0) {
    return [...findings, ok(`no VFs, but scalable functions: ${scalable.join(", ")}`)];
  }
  const [pf] = [...physical].sort((a, b) => b.rdmaDevices.length - a.rdmaDevices.length);
  if (pf) {
    const command = `echo ${pf.totalVfs} > /sys/bus/pci/devices/${pf.id}/sriov_numvfs`;
    return [...findings, warning("no VFs are enabled: pods can only have physical functions", command)];
  }
  return [
    warning(
      "no network adapter supports VFs: pods can only have physical functions",
      "# enable SR-IOV in the adapter's firmware (NVIDIA: mlxconfig -d ADDRESS set SRIOV_EN=1 NUM_OF_VFS=8), reboot",
    ),
  ];
}

function describe({ id, netdevs, driver, enabledVfs, totalVfs }: NetworkFunction): string {
  const name = netdevs.length > 0 ? `${netdevs.join(", ")} (${id})` : id;
  return `${name}, driver ${driver ?? "none"}: ${enabledVfs} of ${totalVfs} VFs`;
}

/** Examines whether the virtual functions have what RDMA connections need: driver, RDMA device and node GUID. */
export function examineVfs(
  { kernel, executable }: ExaminedNode,
  walk: () => readonly Namespace[],
): Verdict[] {
  return judgeVfs(listVfs(kernel, undefined, walk), quote(executable));
}

/**
 * Judges virtual functions: a line for all that are ready, and one for all of an adapter that lack the same.
 *
 * @param program the command that starts this program, for commands that fix something
 */
export function judgeVfs(vfs: readonly VfStatus[], program: string): Verdict[] {
  // Those of virtual machines do not matter to pods.
  const ours = vfs.filter(({ driver }) => !isForVirtualMachines(driver));
  const ready = ours.filter((vf) => vf.ready).length;
  const lacking = Map.groupBy(
    ours.filter((vf) => !vf.ready),
    (vf) => JSON.stringify([vf.pf, vf.reason, vf.usedByHost, isAwayFromHost(vf)]),
  );
  const findings = [...lacking.values()].map((alike) => judgeAlike(alike, program));
  if (ready > 0) return [ok(`${ready} of ${vfs.length} ready for RDMA CM`), ...findings];
  return findings.length > 0 ? findings : [ok("none for pods")];
}

function isAwayFromHost({ netdevNetns, rdmaNetns }: VfStatus): boolean {
  return netdevNetns !== undefined || rdmaNetns !== undefined;
}

function judgeAlike(alike: readonly VfStatus[], program: string): Verdict {
  const { pf, driver, rdmaDevice, rdmaNetns, reason, usedByHost } = alike[0]!;
  const where = isAwayFromHost(alike[0]!) ? " (in pods)" : "";
  const text = `${pf}: VF ${formatRanges(alike.map(({ number }) => number))}${where}: ${reason}`;
  if (driver === undefined) {
    const addresses = alike.map(({ deviceId }) => deviceId).join(" ");
    const probe = alike.length === 1
      ? `echo ${addresses} > /sys/bus/pci/drivers_probe`
      : `for vf in ${addresses}; do echo $vf > /sys/bus/pci/drivers_probe; done`;
    return warning(text, probe);
  }
  if (rdmaDevice === undefined && rdmaNetns === undefined) {
    const module = RDMA_MODULES.get(driver);
    return warning(
      text,
      module === undefined ? `# load the RDMA module of driver ${driver}` : `modprobe ${module}`,
    );
  }
  if (usedByHost !== undefined) {
    // This may be intended.
    const fix = `${program} vf-mac init ${pf} # after you have stopped what uses it, if it is for pods`;
    return warning(`${text}, but the host uses it: ${usedByHost}`, fix);
  }
  if (reason === NO_ADMIN_ADDRESS) {
    return warning(text, `${program} vf-mac init ${pf}${where && " # after these pods have ended"}`);
  }
  return problem(`${text}, so RDMA CM will not work in pods`, `${program} vf-mac init ${pf}`);
}
