/** `vf-mac init`. */
import type { PhysicalFunction } from "../../kernel/node_kernel.ts";
import { NetlinkError } from "../../netlink/error.ts";
import { SyscallError } from "../../sys/errno.ts";
import { CommandError, ExitCode, toCommandError } from "../errors.ts";
import { type Format, printAs } from "../output.ts";
import { printNote, Progress, type Terminal } from "../terminal.ts";
import { assertUnused, findPf, findVf, hasRdmaFamily, type VfNode } from "./find.ts";
import { assignAddresses, type Assignment, lockPlugin } from "./assign.ts";
import { listVfs, nameOf, NO_ADMIN_ADDRESS, NO_RDMA_DEVICE, type VfStatus } from "../../node/functions.ts";
import type { NoRdmaCache } from "./no_rdma_cache.ts";
import { planSteps, type Step } from "./plan.ts";
import { waitForRdmaDevices } from "./rebind.ts";

/** How many virtual functions are rebound at once: pods that start meanwhile wait for all of these. */
const BATCH_SIZE = 16;
/** Pause between two batches, in which the first waiting call of the plugin wakes up and takes the lock. */
const LOCK_PAUSE_MS = 200;

/** Options of `vf-mac init`. */
export interface InitOptions {
  /** Numbers of virtual functions, of the only physical function, to include even if they are in use. */
  readonly force: readonly string[];
  readonly dryRun: boolean;
  readonly timeoutMs: number;
  readonly output?: Format | undefined;
}

/** What became of a virtual function. */
interface Outcome {
  /** "planned": it would be given the address. */
  readonly state: "ready" | "given" | "planned" | "failed" | "skipped";
  /** The address that it was given. */
  readonly mac?: string;
  readonly nodeGuid?: string | undefined;
  /** Why it needed an address, or has none. */
  readonly reason?: string;
}

/** What `vf-mac init` works on. */
export interface InitNode extends VfNode {
  readonly noRdma: NoRdmaCache;
}

/**
 * Sets the administrative address of every virtual function that needs one, and rebinds its driver if its node GUID is
 * not good already. Leaves
 * alone those that are ready, do not support RDMA or are used by the host. So a second run changes nothing.
 *
 * @param names names of physical functions; undefined for all of the node
 * @returns partial when some could not be given an address, failed when none could
 * @throws {CommandError} when a name is wrong; nothing was changed
 */
export async function initVfs(
  node: InitNode,
  terminal: Terminal,
  names: readonly string[] | undefined,
  options: InitOptions,
): Promise<ExitCode> {
  const chosen = choosePfs(node, names);
  const forced = options.force.map((number) => findVf(node.kernel, chosen[0]!, number).deviceId);
  using signals = node.kernel.catchSignals();
  const init = new Init(node, terminal, chosen.map(({ name }) => name), forced, options);
  await init.assignAll(signals);
  if (!options.dryRun && await init.waitForLateDevices()) await init.assignAll(signals);
  return init.summarize();
}

function choosePfs({ kernel }: VfNode, names: readonly string[] | undefined): PhysicalFunction[] {
  const pfs = kernel.listPhysicalFunctions();
  const chosen = names?.map((name) => findPf(kernel, pfs, name)) ?? pfs.filter((pf) => !pf.isInfiniBand);
  const infiniBand = chosen.find((pf) => pf.isInfiniBand);
  if (!infiniBand) return chosen;
  throw new CommandError(
    `Cannot give MAC addresses: ${infiniBand.name} is an InfiniBand port`,
    `Give each VF a GUID: rdma-cni vf-mac set --guid ${infiniBand.name} VF GUID`,
  );
}

/** A run of the command. */
class Init {
  /** By PCI address: the functions that needed an address. */
  readonly #outcomes = new Map<string, { vf: VfStatus; outcome: Outcome }>();

  constructor(
    readonly node: InitNode,
    readonly terminal: Terminal,
    readonly names: readonly string[],
    readonly forced: readonly string[],
    readonly options: InitOptions,
  ) {}

  /** Gives addresses to all functions that need one, except those that have failed before. */
  async assignAll(signals: { caught(): Promise<string | undefined> }): Promise<void> {
    const { terminal, options: { dryRun } } = this;
    const { pfs, all, rdmaPfs } = this.#inspect();
    const steps = planSteps(pfs, all, { names: this.names, rdmaPfs, forced: this.forced })
      .filter(({ vf }) => this.#outcomes.get(vf.deviceId)?.outcome.state !== "failed");
    const progress = new Progress(terminal, steps.length);
    const batches = batchesOf(steps);
    for (const [number, batch] of batches.entries()) {
      const signal = await signals.caught();
      if (signal !== undefined) {
        const rest = batches.slice(number).flat();
        for (const { vf } of rest) {
          this.#keep(vf, { state: "failed", reason: `${signal} stopped the command` });
        }
        return terminal.err(`Stopped by ${signal}: ${rest.length} virtual functions were not examined\n`);
      }
      if (number > 0 && !dryRun) await this.node.kernel.delay(LOCK_PAUSE_MS);
      if (!dryRun) progress.show(describeBatch(batch));
      const outcomes = dryRun ? this.#preview(batch) : await this.#assign(batch);
      for (const [{ vf }, outcome] of outcomes) {
        this.#keep(vf, outcome);
        progress.advance();
        const line = `${describe(vf, outcome)}\n`;
        if (outcome.state === "failed") terminal.err(line);
        else if (dryRun && this.#isForPeople) terminal.out(line);
        else printNote(terminal, line);
      }
    }
  }

  /**
   * Waits once for the RDMA devices of all functions that have none although their drivers are bound and
   * functions of their kind have some: the module that creates them may still be loading. Remembers those
   * that never came.
   *
   * @returns whether some have appeared
   */
  async waitForLateDevices(): Promise<boolean> {
    const { vfs, rdmaPfs } = this.#inspect();
    const { kernel, noRdma } = this.node;
    const late = vfs.filter((vf) =>
      vf.reason === NO_RDMA_DEVICE && rdmaPfs.includes(vf.pf) && !noRdma.has(vf)
    );
    if (late.length === 0) return false;
    printNote(this.terminal, `Waiting for the RDMA devices of ${late.length} virtual functions\n`);
    const missing = await waitForRdmaDevices(kernel, late, this.options.timeoutMs);
    for (const vf of missing) noRdma.add(vf);
    return missing.length < late.length;
  }

  /** Prints what was left alone, and the counts; for programs all outcomes. */
  summarize(): ExitCode {
    const others = this.#inspect().vfs.filter(({ deviceId }) => !this.#outcomes.has(deviceId))
      .map((vf) => ({ vf, outcome: describeOther(vf) }));
    for (const { vf, outcome } of others) {
      if (outcome.state === "skipped") printNote(this.terminal, `${describe(vf, outcome)}\n`);
    }
    const position = ({ vf }: { vf: VfStatus }) => this.names.indexOf(vf.pf) * 1e6 + vf.number;
    const found = [...this.#outcomes.values(), ...others].sort((a, b) => position(a) - position(b));
    const count = (...states: Outcome["state"][]) =>
      found.filter(({ outcome }) => states.includes(outcome.state)).length;
    const [done, failed] = [count("given", "planned"), count("failed")];
    const { dryRun, output = "table" } = this.options;
    const verb = dryRun ? "would be given" : "were given";
    printNote(
      this.terminal,
      `${count("ready")} were ready, ${done} ${verb} an address, ${failed} could not be\n`,
    );
    printAs(this.terminal, output, {
      dryRun,
      vfs: found.map(({ vf: { pf, number, deviceId }, outcome }) => ({ pf, number, deviceId, ...outcome })),
    });
    if (failed === 0) return ExitCode.ok;
    return done > 0 ? ExitCode.partial : ExitCode.failed;
  }

  get #isForPeople(): boolean {
    return (this.options.output ?? "table") === "table";
  }

  #keep(vf: VfStatus, outcome: Outcome): void {
    this.#outcomes.set(vf.deviceId, { vf, outcome });
  }

  /** All functions of the node, the chosen virtual functions, and which physical functions support RDMA. */
  #inspect(): { pfs: PhysicalFunction[]; all: VfStatus[]; vfs: VfStatus[]; rdmaPfs: string[] } {
    const { kernel } = this.node;
    const pfs = kernel.listPhysicalFunctions();
    const rdmaPfs = pfs.filter((pf) => hasRdmaFamily(kernel, pf, pfs)).map(({ name }) => name);
    const all = listVfs(kernel, pfs);
    return { pfs, all, vfs: all.filter(({ pf }) => this.names.includes(pf)), rdmaPfs };
  }

  /** What would be done, or why it could not. */
  #preview(batch: readonly Step[]): Map<Step, Outcome> {
    return new Map(batch.map((step) => {
      const fault = this.#findFault(step, step.vf);
      return [step, fault ? failure(fault) : { state: "planned", mac: String(step.mac), reason: step.need }];
    }));
  }

  /** @returns what was done, without those that are ready by now or that the host uses */
  async #assign(batch: readonly Step[]): Promise<Map<Step, Outcome>> {
    const { kernel } = this.node;
    const outcomes = new Map<Step, Outcome>();
    const assignments = new Map<Assignment, Step>();
    let lock: Disposable;
    try {
      lock = lockPlugin(this.node);
    } catch (error) {
      return new Map(batch.map((step) => [step, failure(error as Error)]));
    }
    using _lock = lock;
    const { vfs } = this.#inspect(); // a pod or the host may have taken one since the plan was made
    for (const step of batch) {
      const vf = vfs.find(({ deviceId }) => deviceId === step.vf.deviceId);
      if (vf?.ready || (vf?.usedByHost !== undefined && !this.forced.includes(vf.deviceId))) continue;
      const fault = vf ? this.#findFault(step, vf) : new CommandError(`${nameOf(step.vf)} is gone`);
      if (fault || !vf) outcomes.set(step, failure(fault!));
      else {
        const address = { mac: String(step.mac) };
        const rebind = vf.reason !== NO_ADMIN_ADDRESS;
        assignments.set({ pf: step.pf, vf, address, rebind, expectsRdma: vf.rdmaDevice !== undefined }, step);
      }
    }
    const assigned = await assignAddresses(kernel, [...assignments.keys()], this.options.timeoutMs);
    for (const [assignment, now] of assigned) {
      const step = assignments.get(assignment)!;
      outcomes.set(
        step,
        now instanceof Error
          ? failure(now)
          : { state: "given", mac: String(step.mac), nodeGuid: now.nodeGuid, reason: step.need },
      );
    }
    return outcomes;
  }

  /** Why a function cannot be given the planned address. */
  #findFault({ mac }: Step, vf: VfStatus): CommandError | undefined {
    try {
      if (!this.forced.includes(vf.deviceId)) assertUnused(this.node, vf);
    } catch (error) {
      if (error instanceof CommandError) return error;
      throw error;
    }
    return typeof mac === "string"
      ? undefined
      : new CommandError(`Cannot give ${nameOf(vf)} an address: ${mac.obstacle}`);
  }
}

/** Each batch is of one physical function. */
function batchesOf(steps: readonly Step[]): Step[][] {
  return [...Map.groupBy(steps, ({ pf }) => pf.name).values()].flatMap((alike) =>
    Array.from(
      { length: Math.ceil(alike.length / BATCH_SIZE) },
      (_, number) => alike.slice(number * BATCH_SIZE, (number + 1) * BATCH_SIZE),
    )
  );
}

function describeBatch(batch: readonly Step[]): string {
  const [{ vf }] = batch as [Step];
  if (batch.length === 1) return nameOf(vf);
  return `VF ${batch.map(({ vf }) => vf.number).join(", ")} of ${vf.pf}`;
}

/** The outcome for a function that needed no address. */
function describeOther({ ready, reason, usedByHost, driver, nodeGuid }: VfStatus): Outcome {
  if (ready) return { state: "ready", nodeGuid };
  if (usedByHost !== undefined) {
    return { state: "skipped", reason: `${reason}, but the host uses it: ${usedByHost}` };
  }
  const cause = driver === undefined ? ", and no function of its kind has an RDMA device" : "";
  return { state: "skipped", reason: `${reason}${cause}` };
}

/** @throws what is not a failure of the function, so that others could go on */
function failure(thrown: Error): Outcome {
  const error = toCommandError(thrown);
  if (error instanceof CommandError) {
    return { state: "failed", reason: error.advice ? `${error.message}; ${error.advice}` : error.message };
  }
  if (error instanceof NetlinkError || error instanceof SyscallError) {
    return { state: "failed", reason: error.message };
  }
  throw error;
}

/** For people; the reason of a failure names the function. */
function describe(vf: VfStatus, { state, mac, nodeGuid, reason }: Outcome): string {
  switch (state) {
    case "planned":
      return `${nameOf(vf)} would get ${mac} (${reason})`;
    case "given":
      return `${nameOf(vf)} has ${mac}, node GUID ${nodeGuid ?? "none"} (before: ${reason})`;
    case "ready":
      return `${nameOf(vf)} is ready`;
    case "skipped":
      return `${nameOf(vf)} is left alone: ${reason}`;
    case "failed":
      return `${reason}`;
  }
}
