/** Virtual functions as people read them. */
import type { VfStatus } from "./list.ts";

const HEADINGS = [
  [
    "PF",
    "VF",
    "PCI ADDRESS",
    "DRIVER",
    "NETDEV",
    "ADMIN ADDRESS",
    "EFFECTIVE ADDRESS",
    "RDMA",
    "NODE GUID",
    "READY",
  ],
] as const;

/** A virtual function in a sentence: `VF 3 of eth0 (0000:01:10.6)`. */
export function nameOf({ pf, number, deviceId }: Pick<VfStatus, "pf" | "number" | "deviceId">): string {
  return `VF ${number} of ${pf} (${deviceId})`;
}

/** A table with a line for each virtual function; what there is not is a dash. */
export function formatTable(vfs: readonly VfStatus[]): string {
  const rows = [
    ...HEADINGS,
    ...vfs.map((vf) => [
      vf.pf,
      String(vf.number),
      vf.deviceId,
      vf.driver ?? "-",
      located(vf.netdev, vf.netdevNetns),
      adminAddress(vf),
      vf.portGuid ?? vf.effectiveMac ?? "-",
      located(vf.rdmaDevice, vf.rdmaNetns),
      vf.nodeGuid ?? "-",
      vf.ready ? "yes" : `no: ${vf.reason}`,
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd() + "\n"
  )
    .join("");
}

/** On InfiniBand the GUIDs: one if node and port have the same. */
function adminAddress({ isInfiniBand, adminMac, adminNodeGuid, adminPortGuid }: VfStatus): string {
  if (!isInfiniBand) return adminMac;
  if (adminNodeGuid === undefined) return "-";
  return adminNodeGuid === adminPortGuid ? adminNodeGuid : `${adminNodeGuid}, port ${adminPortGuid}`;
}

function located(name: string | undefined, netns: string | undefined): string {
  if (netns === undefined) return name ?? "-";
  return `${name ?? "one"} in ${netns}`;
}
