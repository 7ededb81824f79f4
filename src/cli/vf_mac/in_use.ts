import { listClaims } from "../../plugin/claims.ts";
import { CommandError } from "../errors.ts";
import type { VfNode } from "./find.ts";
import { isForVirtualMachines, nameOf, type VfStatus } from "./list.ts";

/** Makes sure that nobody uses a virtual function. @throws {CommandError} that says who does */
export function refuseInUse(node: VfNode, vf: VfStatus): void {
  const user = describeUser(node, vf);
  if (user === undefined) return;
  const advice = vf.usedByHost === undefined
    ? "Delete the pod or stop the virtual machine first"
    : "Take the function from whatever uses it on the host first";
  throw new CommandError(
    `Cannot touch ${nameOf(vf)}: ${user}`,
    `${advice}; "rdma-cni vf-mac set --force" takes it away.`,
  );
}

/**
 * Who uses a virtual function, so that taking its driver away would hurt: the host itself, somebody in another
 * namespace, a virtual machine, or an attachment that the plugin recorded in this boot.
 *
 * @returns a clause for people, or undefined when nobody does
 */
function describeUser(node: VfNode, vf: VfStatus): string | undefined {
  if (isForVirtualMachines(vf.driver)) {
    return `it is bound to ${JSON.stringify(vf.driver)}, so a virtual machine may have it`;
  }
  if (vf.usedByHost !== undefined) return `the host uses it: ${vf.usedByHost}`;
  const away = [
    vf.netdevNetns === undefined ? [] : ["netdev", vf.netdev, vf.netdevNetns],
    vf.rdmaNetns === undefined ? [] : ["RDMA device", vf.rdmaDevice, vf.rdmaNetns],
  ];
  for (const [kind, name, netns] of away) {
    if (!kind) continue;
    const what = name === undefined ? `its ${kind}` : `its ${kind} ${JSON.stringify(name)}`;
    return `${what} is in ${netns}${vf.heldBy === undefined ? "" : ` (${vf.heldBy})`}`;
  }
  // A record without boot id is the Go plugin's; what it wrote before this boot means nothing any more.
  const claim = listClaims(node, "", vf.deviceId).find((record) =>
    record.bootId !== undefined || record.createdAt >= node.kernel.getBootedAtMs()
  );
  if (!claim) return undefined;
  const path = `${node.state.directory}/${claim.file}`;
  const { attachment } = claim;
  if (!attachment) return `the record ${path} says that a pod has it`;
  return `container ${JSON.stringify(attachment.containerID)} has it as ${
    JSON.stringify(attachment.ifname)
  }, says the record ${path}`;
}
