import { NetlinkError, SyscallError } from "../../kernel/error.ts";
import { CommandError, ExitCode } from "../error.ts";
import { toCommandError } from "../failure.ts";
import type { Terminal } from "../terminal.ts";
import { findPf, findVf, type VfNode } from "./find.ts";
import { nameOf } from "./format.ts";
import { give } from "./give.ts";
import { lockPlugin } from "./hold.ts";
import { refuseInUse } from "./in_use.ts";
import { listVfs } from "./list.ts";
import { planSteps, type Step } from "./plan.ts";
import { Progress } from "./progress.ts";

/** How `init` goes about it. */
export interface InitOptions {
  /** Touch also virtual functions that are in use. */
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly timeoutMs: number;
}

/**
 * `vf-mac init`: gives every virtual function that needs it an administrative address and has its driver take it.
 * Those that are ready are left alone, so a second run changes nothing.
 *
 * @param names of physical functions; undefined for all of the node
 * @returns partial when some could be given theirs, failed when none of those in need could
 * @throws {CommandError} when a name is wrong; nothing was changed then
 */
export async function initVfs(
  node: VfNode,
  terminal: Terminal,
  names: readonly string[] | undefined,
  options: InitOptions,
): Promise<ExitCode> {
  const { kernel } = node;
  const pfs = kernel.listPhysicalFunctions();
  const chosen = names?.map((name) => findPf(kernel, pfs, name)) ?? pfs.filter((pf) => !pf.isInfiniBand);
  const infiniBand = chosen.find((pf) => pf.isInfiniBand);
  if (infiniBand) {
    throw new CommandError(
      `Cannot give MAC addresses: ${infiniBand.name} is an InfiniBand port`,
      `Give each VF a GUID: rdma-cni vf-mac set --guid ${infiniBand.name} VF GUID`,
    );
  }
  const vfs = listVfs(kernel, pfs);
  const steps = planSteps(pfs, vfs, chosen.map(({ name }) => name));
  const readyCount = vfs.filter((vf) => vf.ready && chosen.some(({ name }) => name === vf.pf)).length;
  for (const vf of vfs) {
    if (vf.ready || steps.some((step) => step.vf === vf) || !chosen.some(({ name }) => name === vf.pf)) {
      continue;
    }
    terminal.err(`${nameOf(vf)} is left alone: ${vf.reason}\n`);
  }

  const progress = new Progress(terminal, steps.length);
  let failures = 0;
  let signal: string | undefined;
  using signals = kernel.holdSignals();
  for (const [done, step] of steps.entries()) {
    signal = await signals.caught();
    if (signal !== undefined) {
      progress.print(`Stopped by ${signal}: ${steps.length - done} virtual functions were not looked at`);
      failures += steps.length - done;
      break;
    }
    if (!options.dryRun) progress.show(nameOf(step.vf));
    try {
      if (options.dryRun) terminal.out(`${plan(node, step, options)}\n`);
      else progress.advance(take(node, step, options));
    } catch (thrown) {
      failures++;
      progress.advance(explain(thrown));
    }
  }
  const given = steps.length - failures;
  const verb = options.dryRun ? "would be given" : "were given";
  progress.print(`${readyCount} were ready, ${given} ${verb} an address, ${failures} could not be`);
  if (failures === 0) return ExitCode.ok;
  return given > 0 ? ExitCode.partial : ExitCode.failed;
}

/** A failure of one virtual function, which is no reason not to go on with the next. */
function explain(thrown: unknown): string {
  const error = toCommandError(thrown);
  if (error instanceof CommandError) {
    return error.advice ? `${error.message}; ${error.advice}` : error.message;
  }
  if (error instanceof NetlinkError || error instanceof SyscallError) return error.message;
  throw error;
}

/** @returns what would be done, for people */
function plan(node: VfNode, { vf, need, mac }: Step, { force }: InitOptions): string {
  if (!force) refuseInUse(node, vf);
  if (typeof mac !== "string") {
    throw new CommandError(`Cannot give ${nameOf(vf)} an address: ${mac.obstacle}`);
  }
  return `${nameOf(vf)} would get ${mac} (${need})`;
}

/**
 * Holds the lock for one virtual function at a time, since pods that start meanwhile wait for it.
 *
 * @returns what was done, for people
 */
function take(node: VfNode, step: Step, options: InitOptions): string {
  const { kernel } = node;
  const { pf, need, mac } = step;
  using _lock = lockPlugin(node);
  const vf = findVf(kernel, pf, String(step.vf.number)); // a pod may have got it since the plan was made
  plan(node, { ...step, vf }, options);
  const now = give(kernel, pf, vf, { mac: String(mac) }, options.timeoutMs);
  return `${nameOf(vf)} has ${mac}, node GUID ${now.nodeGuid ?? "none"} (before: ${need})`;
}
