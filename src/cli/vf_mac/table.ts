/** Virtual functions as a table. */
import type { Table } from "../table.ts";
import type { VfStatus } from "../../node/functions.ts";

export const VF_TABLE: Table<VfStatus> = {
  columns: [
    ["PF", ({ pf }) => pf],
    ["VF", ({ number }) => String(number)],
    ["PCI-ADDRESS", ({ deviceId }) => deviceId],
    ["NETDEV", ({ netdev, netdevNetns }) => located(netdev, netdevNetns)],
    ["ADDRESS", ({ portGuid, effectiveMac }) => portGuid ?? effectiveMac],
    ["RDMA", ({ rdmaDevice, rdmaNetns }) => located(rdmaDevice, rdmaNetns)],
    ["READY", ({ ready, reason }) => ready ? "yes" : `no: ${reason}`],
  ],
  wideColumns: [
    ["DRIVER", ({ driver }) => driver],
    ["ADMIN-ADDRESS", adminAddress],
    ["NODE-GUID", ({ nodeGuid }) => nodeGuid],
    ["USED-BY-POD", ({ heldBy }) => heldBy],
    ["USED-BY-HOST", ({ usedByHost }) => usedByHost],
  ],
  nothing: "No virtual functions found",
};

/** On InfiniBand the GUIDs: one if node and port GUID are the same. */
function adminAddress({ isInfiniBand, adminMac, adminNodeGuid, adminPortGuid }: VfStatus) {
  if (!isInfiniBand) return adminMac;
  return adminNodeGuid === adminPortGuid ? adminNodeGuid : `${adminNodeGuid}, port ${adminPortGuid}`;
}

function located(name: string | undefined, netns: string | undefined): string | undefined {
  return netns === undefined ? name : `${name ?? "one"} in ${netns}`;
}
