import type { NodeKernel } from "../../kernel/kernel.ts";
import { CommandError, ExitCode } from "../errors.ts";
import type { Terminal } from "../terminal.ts";
import { findOwner, findPf, findVf, hasRdmaFamily, type VfNode } from "./find.ts";
import { type Address, formatAddress, give, hasGuidOf, lockPlugin } from "./give.ts";
import { refuseInUse } from "./in_use.ts";
import { isForVirtualMachines, listVfs, nameOf, type VfStatus } from "./list.ts";
import { formatGuid, parseGuid, parseMac } from "./mac.ts";

/** How `set` goes about it. */
export interface SetOptions {
  /** Leave the driver as it is, so that the address counts from its next bind. */
  readonly rebind: boolean;
  /** Touch also a virtual function that is in use. */
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly timeoutMs: number;
  /** The address is a GUID, for an InfiniBand port. */
  readonly guid: boolean;
}

/**
 * `vf-mac set`: gives one virtual function an administrative address and has its driver take it.
 *
 * @param words names of the physical function, number of the virtual function, address
 * @throws {CommandError} when a word is wrong, the function is in use, another one has the address, or it is not taken
 */
export async function setAddress(
  node: VfNode,
  terminal: Terminal,
  words: { readonly pf: string; readonly vf: string; readonly address: string },
  options: SetOptions,
): Promise<ExitCode> {
  const { kernel } = node;
  const address = options.guid ? { guid: parseGuid(words.address) } : { mac: parseMac(words.address) };
  using _lock = options.dryRun ? undefined : lockPlugin(node);
  const pfs = kernel.listPhysicalFunctions();
  const pf = findPf(kernel, pfs, words.pf);
  const vf = findVf(kernel, pf, words.vf);
  if (options.guid !== pf.isInfiniBand) throw wrongKind(pf.name, options.guid);
  refuseOwned(kernel, vf, address);
  if (!options.force) refuseInUse(node, vf);
  if (isSo(vf, address)) {
    terminal.err(`${nameOf(vf)} has ${formatAddress(address)} already\n`);
    return ExitCode.ok;
  }
  const isRebound = options.rebind && !isForVirtualMachines(vf.driver);
  if (options.dryRun) {
    const then = isRebound ? `, then ${vf.driver ?? "a driver"} would be bound anew` : "";
    terminal.out(`${nameOf(vf)} would get ${formatAddress(address)}${then}\n`);
    return ExitCode.ok;
  }
  using _signals = kernel.catchSignals();
  const expectsRdma = vf.rdmaDevice !== undefined || hasRdmaFamily(kernel, pf, pfs);
  const assignment = { pf, vf, address, expectsRdma };
  const now = (await give(kernel, [assignment], options.rebind ? options.timeoutMs : undefined)).get(
    assignment,
  )!;
  if (now instanceof Error) throw now;
  const result = isRebound
    ? `, node GUID ${now.nodeGuid ?? "none: it has no RDMA device"}`
    : "; its driver takes it at the next bind";
  terminal.err(`${nameOf(vf)} has ${formatAddress(address)}${result}\n`);
  return ExitCode.ok;
}

/** Whether nothing is left to do. */
function isSo(vf: VfStatus, address: Address): boolean {
  if (!vf.ready) return false;
  if ("mac" in address) {
    const { mac } = address;
    return vf.adminMac === mac && vf.effectiveMac === mac && hasGuidOf(vf, mac);
  }
  const guid = formatGuid(address.guid);
  return [vf.adminNodeGuid, vf.adminPortGuid, vf.nodeGuid].every((one) => one === guid);
}

function refuseOwned(kernel: NodeKernel, vf: VfStatus, address: Address): void {
  const pfs = kernel.listPhysicalFunctions();
  const text = "mac" in address ? address.mac : formatGuid(address.guid);
  const owner = findOwner(text, pfs, listVfs(kernel, pfs), vf);
  if (owner === undefined) return;
  throw new CommandError(
    `Cannot give ${nameOf(vf)} ${formatAddress(address)}: ${owner} has it`,
    '"rdma-cni vf-mac list" tells all addresses.',
  );
}

function wrongKind(pf: string, isGuid: boolean): CommandError {
  return isGuid
    ? new CommandError(
      `Cannot give a GUID: ${pf} is no InfiniBand port`,
      "Leave out --guid and give a MAC address.",
    )
    : new CommandError(`Cannot give a MAC address: ${pf} is an InfiniBand port`, "Give a GUID, with --guid.");
}
