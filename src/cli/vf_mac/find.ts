/** Physical and virtual functions by the words of a command line. */
/** Where the netdevs and RDMA devices of functions are that the host's namespace does not have. */
import type { NodeKernel, PhysicalFunction } from "../../kernel/kernel.ts";
import type { State } from "../../plugin/state.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { listVfs, type VfStatus } from "./list.ts";

/** What these commands work on: the kernel of this node and the plugin's records on it. */
export interface VfNode {
  readonly kernel: NodeKernel;
  readonly state: State;
}

/**
 * The physical function of a netdev's name.
 *
 * @throws {CommandError} when there is none of that name, or it is no physical function
 */
export function findPf(
  kernel: NodeKernel,
  pfs: readonly PhysicalFunction[],
  name: string,
): PhysicalFunction {
  const pf = pfs.find((candidate) => candidate.name === name);
  if (pf) return pf;
  const known = pfs.map((candidate) => candidate.name).join(", ");
  const reason = kernel.getHostNetns().getLink(name)
    ? "it is no SR-IOV physical function"
    : "there is no network interface of that name";
  throw new CommandError(
    `Cannot use PF ${JSON.stringify(name)}: ${reason}`,
    known === "" ? "This node has no physical function with a netdev" : `Physical functions here: ${known}`,
  );
}

/**
 * A virtual function by the number that was typed.
 *
 * @throws {CommandError} exit code 2 when it is no number; 1 when there is none of that number
 */
export function findVf(kernel: NodeKernel, pf: PhysicalFunction, number: string): VfStatus {
  if (!/^\d{1,5}$/.test(number)) {
    throw new CommandError(
      `Cannot use VF ${JSON.stringify(number)}: want its number, such as 0`,
      undefined,
      ExitCode.usage,
    );
  }
  const vfs = pf.vfs.filter((vf) => vf.number === Number(number));
  const [vf] = listVfs(kernel, [{ ...pf, vfs }]);
  if (vf) return vf;
  const numbers = pf.vfs.map((vf) => vf.number).sort((a, b) => a - b);
  throw new CommandError(
    `Cannot find VF ${number} of ${JSON.stringify(pf.name)}: it has ${
      numbers.length === 0 ? "no VFs switched on" : `VFs ${numbers[0]} to ${numbers.at(-1)}`
    }`,
    `Switch VFs on: echo NUMBER > /sys/class/net/${pf.name}/device/sriov_numvfs`,
  );
}

/** Who has a MAC address or GUID already: a clause for people, or undefined. */
export function findOwner(
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

function addressesOf(vf: VfStatus): (string | undefined)[] {
  return [vf.adminMac, vf.effectiveMac, vf.adminNodeGuid, vf.adminPortGuid, vf.portGuid, vf.nodeGuid];
}

/**
 * Whether the drivers of a physical function's kind make RDMA devices on this node: it has one itself, or another one
 * of its driver has, or a virtual function of theirs. Of two bonded ports only one has.
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
