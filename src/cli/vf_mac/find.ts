/** The words of a command line: physical and virtual functions, addresses, and their owners and users. */
import type { NodeKernel, PhysicalFunction } from "../../kernel/node_kernel.ts";
import { listClaims } from "../../plugin/record/claims.ts";
import type { State } from "../../plugin/record/state.ts";
import { NO_MAC } from "../../node/addresses.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { isForVirtualMachines, listVfs, nameVf, type VfStatus } from "../../node/functions.ts";

/** The node that these commands work on: its kernel, and the plugin's records. */
export interface VfNode {
  readonly kernel: NodeKernel;
  readonly state: State;
}

/**
 * Finds the physical function with a netdev of this name.
 *
 * @throws {CommandError} when there is none, or it is not a physical function
 */
export function findPf(kernel: NodeKernel, pfs: readonly PhysicalFunction[], name: string): PhysicalFunction {
  const pf = pfs.find((candidate) => candidate.name === name);
  if (pf) return pf;
  const known = pfs.map((candidate) => candidate.name).join(", ");
  const reason = kernel.getHostNetns().getLink(name)
    ? "it is not an SR-IOV physical function"
    : "there is no network interface of that name";
  throw new CommandError(
    `Cannot use PF ${JSON.stringify(name)}: ${reason}`,
    known === "" ? "This node has no physical function with a netdev" : `Physical functions here: ${known}`,
  );
}

/**
 * Finds a virtual function by the number in the command line.
 *
 * @throws {CommandError} exit code 2 when it is not a number; 1 when there is no such function
 */
export function findVf(kernel: NodeKernel, pf: PhysicalFunction, number: string): VfStatus {
  if (!/^\d{1,5}$/.test(number)) throw unusable("VF", number, "want its number, such as 0");
  const vfs = pf.vfs.filter((vf) => vf.number === Number(number));
  const [vf] = listVfs(kernel, [{ ...pf, vfs }]);
  if (vf) return vf;
  const numbers = pf.vfs.map((vf) => vf.number).sort((a, b) => a - b);
  const found = numbers.length === 0 ? "no VFs enabled" : `VFs ${numbers[0]} to ${numbers.at(-1)}`;
  throw new CommandError(
    `Cannot find VF ${number} of ${JSON.stringify(pf.name)}: it has ${found}`,
    `Enable VFs: echo NUMBER > /sys/class/net/${pf.name}/device/sriov_numvfs`,
  );
}

const GROUP_BIT = 1;

/**
 * Parses a MAC address that a person typed, with colons or dashes.
 *
 * @throws {CommandError} exit code 2 when it is malformed, zero or a multicast address
 */
export function parseMac(text: string): string {
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) {
    throw unusable("MAC address", text, "it is not a MAC address, want six bytes such as 02:03:00:00:48:56");
  }
  if (mac === NO_MAC) throw unusable("MAC address", text, "all zeros mean no address");
  if (parseInt(mac.slice(0, 2), 16) & GROUP_BIT) {
    throw unusable("MAC address", text, "it is a multicast address, want one whose first byte is even");
  }
  return mac;
}

/**
 * Parses a GUID that a person typed: 16 hexadecimal digits, in groups or not.
 *
 * @throws {CommandError} exit code 2 when it is malformed or zero
 */
export function parseGuid(text: string): bigint {
  const digits = text.toLowerCase().replace(/^0x/, "").replaceAll(/[:-]/g, "");
  const isGuid = /^[0-9a-f]{16}$/.test(digits);
  if (isGuid && BigInt(`0x${digits}`) !== 0n) return BigInt(`0x${digits}`);
  const reason = isGuid ? "zero means no GUID" : "want 16 hexadecimal digits";
  throw unusable("GUID", text, reason);
}

function unusable(what: string, word: string, reason: string): CommandError {
  return new CommandError(`Cannot use ${what} ${JSON.stringify(word)}: ${reason}`, undefined, ExitCode.usage);
}

/** Finds who already has a MAC address or GUID, for people; undefined when nobody does. */
export function findHolder(
  address: string,
  pfs: readonly PhysicalFunction[],
  vfs: readonly VfStatus[],
  except: VfStatus,
): string | undefined {
  const pf = pfs.find((one) => one.address === address || one.permanentAddress === address);
  if (pf) return `PF ${pf.name}`;
  const vf = vfs.find((one) => one.deviceId !== except.deviceId && addressesOf(one).includes(address));
  return vf && `VF ${vf.number} of ${vf.pf}`;
}

/**
 * Tells whether functions of a physical function's kind have RDMA devices on this node: itself, another one with the
 * same driver, or one of their virtual functions. Of two bonded ports only one has a device.
 */
export function hasRdmaFamily(
  kernel: NodeKernel,
  { deviceId }: PhysicalFunction,
  pfs: readonly PhysicalFunction[],
): boolean {
  const driver = kernel.getBusDevice(deviceId)?.driver;
  return pfs.filter((pf) => kernel.getBusDevice(pf.deviceId)?.driver === driver)
    .flatMap((pf) => [pf.deviceId, ...pf.vfs.map((vf) => vf.deviceId)])
    .some((id) => {
      const bus = kernel.getBusDevice(id);
      return bus !== undefined && bus.rdmaDevices.length + bus.uverbs.length > 0;
    });
}

/** @throws {CommandError} when somebody uses a virtual function; it says who */
export function assertUnused(node: VfNode, vf: VfStatus): void {
  const user = describeUser(node, vf);
  if (user === undefined) return;
  const advice = vf.usedByHost === undefined
    ? "Delete the pod or stop the virtual machine first"
    : "Stop what uses the function on the host first";
  throw new CommandError(
    `Cannot change ${nameVf(vf)}: ${user}`,
    `${advice}; "rdma-cni vf-mac set --force" changes it anyway.`,
  );
}

function addressesOf(vf: VfStatus): (string | undefined)[] {
  return [vf.adminMac, vf.effectiveMac, vf.adminNodeGuid, vf.adminPortGuid, vf.portGuid, vf.nodeGuid];
}

/**
 * Describes who uses a virtual function, so that it must not be unbound: the host, something in another namespace, a
 * virtual machine, or an attachment that the plugin recorded in this boot.
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
  // A record without boot id is the Go plugin's; one from before this boot means nothing.
  const claim = listClaims(node, "", vf.deviceId).find((record) =>
    record.bootId !== undefined || record.createdAt >= node.kernel.getBootedAtMs()
  );
  if (!claim) return undefined;
  const path = `${node.state.directory}/${claim.file}`;
  const { attachment } = claim;
  if (!attachment) return `the record ${path} says that a pod has it`;
  const [container, ifname] = [JSON.stringify(attachment.containerID), JSON.stringify(attachment.ifname)];
  return `container ${container} has it as ${ifname}, according to the record ${path}`;
}
