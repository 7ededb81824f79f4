import { examineDevices } from "./devices.ts";
import { examine, type Finding } from "./finding.ts";
import { examineInstalledPlugin } from "./installed_plugin.ts";
import { examineKernel } from "./kernel.ts";
import { examineLibmnl } from "./libmnl.ts";
import { examineMode } from "./mode.ts";
import { examineModules } from "./modules.ts";
import { examineMultus } from "./multus.ts";
import { examineNetworks } from "./networks.ts";
import type { Node } from "./node.ts";
import { examineRecords } from "./records.ts";
import { examineSriov } from "./sriov.ts";
import { examineVfs } from "./vfs.ts";

/** Examines a node, changing nothing: why RDMA works in pods, or why not. Never throws. */
export async function examineNode(node: Node): Promise<Finding[]> {
  const { root } = node;
  const groups = [
    await examine("kernel", () => examineKernel(node)),
    await examine("modules", () => examineModules(root)),
    await examine("mode", () => examineMode(node)),
    await examine("libmnl", () => examineLibmnl(node)),
    await examine("sriov", () => examineSriov(root)),
    await examine("vfs", () => examineVfs(node)),
    await examine("devices", () => examineDevices(node)),
    await examine("records", () => examineRecords(node)),
    await examine("networks", () => examineNetworks(root)),
    await examine("plugin", () => examineInstalledPlugin(node)),
    await examine("multus", () => examineMultus(root)),
  ];
  return groups.flat();
}
