/** `vf-mac set`. */
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { CommandError } from "../errors.ts";
import type { Remark, Result } from "../terminal.ts";
import {
  assertUnused,
  findHolder,
  findPf,
  findVf,
  hasRdmaFamily,
  parseGuid,
  parseMac,
  type VfNode,
} from "./find.ts";
import {
  assignAddresses,
  describeAddress,
  formatAddress,
  isRebound,
  lockPlugin,
  matchesGuid,
} from "./assign.ts";
import type { Address, Assignment } from "./plan.ts";
import { listVfs, nameVf, type VfStatus } from "../../node/functions.ts";

/** Options of `vf-mac set`. */
export interface SetOptions {
  /** False: leave the driver alone, so that it takes the address at its next bind. */
  readonly rebind: boolean;
  /** Even if the virtual function is in use. */
  readonly force?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly timeoutMs: number;
  /** The address is a GUID, for an InfiniBand port. */
  readonly guid?: boolean | undefined;
}

/**
 * Sets the administrative address of one virtual function and rebinds its driver.
 *
 * @param words name of the physical function, number of the virtual function, address
 * @throws {CommandError} when a word is wrong, or function or address are in use, or the driver does not take it
 */
export async function setAddress(
  node: VfNode,
  words: { readonly pf: string; readonly vf: string; readonly address: string },
  { rebind, force = false, dryRun = false, guid = false, timeoutMs }: SetOptions,
): Promise<Result> {
  const { kernel } = node;
  const address = guid ? { guid: parseGuid(words.address) } : { mac: parseMac(words.address) };
  using _lock = dryRun ? undefined : lockPlugin(node);
  const pfs = kernel.listPhysicalFunctions();
  const pf = findPf(kernel, pfs, words.pf);
  const vf = findVf(kernel, pf, words.vf);
  if (guid !== pf.isInfiniBand) throw addressKindError(pf.name, guid);
  assertNotTaken(kernel, vf, address);
  if (!force) assertUnused(node, vf);
  const wanted = describeAddress(address);
  /** For programs in the words of `vf-mac init`. */
  const toResult = (state: string, { pf, number, deviceId, nodeGuid }: VfStatus, remark: Remark): Result => ({
    value: {
      ...{ dryRun, pf, number, deviceID: deviceId, state },
      [guid ? "guid" : "mac"]: formatAddress(address),
      nodeGuid,
    },
    remarks: [remark],
  });
  if (hasAddress(vf, address)) {
    const text = `${nameVf(vf)} already has ${wanted}`;
    return toResult("ready", vf, dryRun ? { plan: text } : { note: text });
  }
  const bindsAgain = isRebound({ rebind, vf });
  if (dryRun) {
    const then = bindsAgain ? `, then ${vf.driver ?? "a driver"} would be rebound` : "";
    return toResult("planned", vf, { plan: `${nameVf(vf)} would get ${wanted}${then}` });
  }
  using _signals = kernel.catchSignals();
  const expectsRdma = vf.rdmaDevice !== undefined || hasRdmaFamily(kernel, pf, pfs);
  const assignment: Assignment = { pf, vf, address, need: "", rebind, expectsRdma };
  await assignAddresses(kernel, [assignment], timeoutMs);
  if (assignment.failure) throw assignment.failure;
  const { vf: now } = assignment;
  const outcome = bindsAgain
    ? `, node GUID ${now.nodeGuid ?? "none: it has no RDMA device"}`
    : "; its driver takes it at the next bind";
  return toResult("given", now, { note: `${nameVf(vf)} has ${wanted}${outcome}` });
}

/** Tells whether the function and its devices already have an address. */
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
  const owner = findHolder(formatAddress(address), pfs, listVfs(kernel, pfs), vf);
  if (owner === undefined) return;
  throw new CommandError(
    `Cannot give ${nameVf(vf)} ${describeAddress(address)}: ${owner} has it`,
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
