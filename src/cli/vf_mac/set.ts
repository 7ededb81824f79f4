/** `vf-mac set`. */
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { type Format, printAs } from "../output.ts";
import { printNote, type Terminal } from "../terminal.ts";
import {
  assertUnused,
  findOwner,
  findPf,
  findVf,
  hasRdmaFamily,
  parseGuid,
  parseMac,
  type VfNode,
} from "./find.ts";
import {
  type Address,
  assignAddresses,
  describeAddress,
  formatAddress,
  lockPlugin,
  matchesGuid,
} from "./assign.ts";
import { isForVirtualMachines, listVfs, nameOf, type VfStatus } from "../../node/functions.ts";

/** Options of `vf-mac set`. */
export interface SetOptions {
  /** False: leave the driver alone, so that it takes the address at its next bind. */
  readonly rebind: boolean;
  /** Even if the virtual function is in use. */
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly timeoutMs: number;
  /** The address is a GUID, for an InfiniBand port. */
  readonly guid: boolean;
  readonly output?: Format | undefined;
}

/**
 * Sets the administrative address of one virtual function and rebinds its driver.
 *
 * @param words name of the physical function, number of the virtual function, address
 * @throws {CommandError} when a word is wrong, the function is in use, another one has the address, or the
 *   driver does not take it
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
  if (options.guid !== pf.isInfiniBand) throw addressKindError(pf.name, options.guid);
  assertNotTaken(kernel, vf, address);
  if (!options.force) assertUnused(node, vf);
  const { dryRun, output = "table" } = options;
  /** For programs, in the words of `vf-mac init`. */
  const printOutcome = (
    state: "ready" | "planned" | "given",
    { pf, number, deviceId, nodeGuid }: VfStatus,
  ) => {
    const text = options.guid ? { guid: formatAddress(address) } : { mac: formatAddress(address) };
    printAs(terminal, output, { dryRun, pf, number, deviceId, state, ...text, nodeGuid });
  };
  if (hasAddress(vf, address)) {
    printNote(terminal, `${nameOf(vf)} already has ${describeAddress(address)}\n`);
    printOutcome("ready", vf);
    return ExitCode.ok;
  }
  const isRebound = options.rebind && !isForVirtualMachines(vf.driver);
  if (dryRun) {
    const then = isRebound ? `, then ${vf.driver ?? "a driver"} would be rebound` : "";
    const line = `${nameOf(vf)} would get ${describeAddress(address)}${then}\n`;
    if (output === "table") terminal.out(line);
    else printNote(terminal, line);
    printOutcome("planned", vf);
    return ExitCode.ok;
  }
  using _signals = kernel.catchSignals();
  const expectsRdma = vf.rdmaDevice !== undefined || hasRdmaFamily(kernel, pf, pfs);
  const assignment = { pf, vf, address, rebind: options.rebind, expectsRdma };
  const now = (await assignAddresses(kernel, [assignment], options.timeoutMs)).get(assignment)!;
  if (now instanceof Error) throw now;
  const result = isRebound
    ? `, node GUID ${now.nodeGuid ?? "none: it has no RDMA device"}`
    : "; its driver takes it at the next bind";
  printNote(terminal, `${nameOf(vf)} has ${describeAddress(address)}${result}\n`);
  printOutcome("given", now);
  return ExitCode.ok;
}

/** Whether the function and its devices already have an address. */
function hasAddress(vf: VfStatus, address: Address): boolean {
  if (!vf.ready) return false;
  if ("mac" in address) {
    const { mac } = address;
    return vf.adminMac === mac && vf.effectiveMac === mac && matchesGuid(vf, mac);
  }
  const guid = formatAddress(address);
  return [vf.adminNodeGuid, vf.adminPortGuid, vf.nodeGuid].every((one) => one === guid);
}

function assertNotTaken(kernel: NodeKernel, vf: VfStatus, address: Address): void {
  const pfs = kernel.listPhysicalFunctions();
  const owner = findOwner(formatAddress(address), pfs, listVfs(kernel, pfs), vf);
  if (owner === undefined) return;
  throw new CommandError(
    `Cannot give ${nameOf(vf)} ${describeAddress(address)}: ${owner} has it`,
    '"rdma-cni vf-mac list" shows all addresses.',
  );
}

function addressKindError(pf: string, isGuid: boolean): CommandError {
  return isGuid
    ? new CommandError(
      `Cannot give a GUID: ${pf} is not an InfiniBand port`,
      "Leave out --guid and give a MAC address.",
    )
    : new CommandError(`Cannot give a MAC address: ${pf} is an InfiniBand port`, "Give a GUID, with --guid.");
}
