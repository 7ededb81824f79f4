import type { PhysicalFunction } from "../../kernel/kernel.ts";
import { NetlinkError } from "../../netlink/error.ts";
import { SyscallError } from "../../sys/errno.ts";
import { CommandError, ExitCode, toCommandError } from "../errors.ts";
import type { Terminal } from "../terminal.ts";
import { findPf, findVf, hasRdmaFamily, type VfNode } from "./find.ts";
import { type Assignment, give, lockPlugin } from "./give.ts";
import { refuseInUse } from "./in_use.ts";
import { listVfs, nameOf, NO_RDMA_DEVICE, type VfStatus } from "./list.ts";
import { planSteps, type Step } from "./plan.ts";
import { awaitRdma, Progress } from "./rebind.ts";

/** How many virtual functions are bound side by side: pods that start meanwhile wait until all of these are done. */
const BATCH_SIZE = 16;
/** Between two batches, so that calls of the plugin that wait for the lock get it: they ask every 160 ms. */
const LOCK_TURN_MS = 200;

/** How `init` goes about it. */
export interface InitOptions {
  /** Numbers of virtual functions, of the one physical function named, that are touched even if they are in use. */
  readonly force: readonly string[];
  readonly dryRun: boolean;
  readonly timeoutMs: number;
}

/** What `init` works on. */
export interface InitNode extends VfNode {
  readonly withoutRdma: WithoutRdma;
}

/**
 * `vf-mac init`: gives every virtual function that needs it an administrative address and has its driver take it.
 * Those that are ready, that cannot do RDMA or that the host uses are left alone, so a second run changes nothing.
 *
 * @param names of physical functions; undefined for all of the node
 * @returns partial when some could be given theirs, failed when none of those in need could
 * @throws {CommandError} when a name is wrong; nothing was changed then
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
  await init.takeAll(signals);
  if (!options.dryRun && await init.awaitLateDevices()) await init.takeAll(signals);
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

class Init {
  /** PCI addresses. */
  readonly #given = new Set<string>();
  readonly #failed = new Set<string>();

  constructor(
    readonly node: InitNode,
    readonly terminal: Terminal,
    readonly names: readonly string[],
    readonly forced: readonly string[],
    readonly options: InitOptions,
  ) {}

  /** Gives addresses to all that need one now and were not tried in vain. */
  async takeAll(signals: { caught(): Promise<string | undefined> }): Promise<void> {
    const { dryRun } = this.options;
    const { pfs, all, rdmaPfs } = this.#look();
    const steps = planSteps(pfs, all, { names: this.names, rdmaPfs, forced: this.forced })
      .filter(({ vf }) => !this.#failed.has(vf.deviceId));
    const progress = new Progress(this.terminal, steps.length);
    const batches = batchesOf(steps);
    for (const [number, batch] of batches.entries()) {
      const signal = await signals.caught();
      if (signal !== undefined) {
        const rest = batches.slice(number).flat();
        for (const { vf } of rest) this.#failed.add(vf.deviceId);
        return progress.print(`Stopped by ${signal}: ${rest.length} virtual functions were not looked at`);
      }
      if (number > 0 && !dryRun) await this.node.kernel.delay(LOCK_TURN_MS);
      if (!dryRun) progress.show(describeBatch(batch));
      const outcomes = dryRun ? this.#foretell(batch) : await this.#take(batch);
      for (const [{ vf }, outcome] of outcomes) {
        const isDone = typeof outcome === "string";
        (isDone ? this.#given : this.#failed).add(vf.deviceId);
        if (!isDone) progress.advance(explain(outcome));
        else if (dryRun) this.terminal.out(`${outcome}\n`);
        else progress.advance(outcome);
      }
    }
  }

  /**
   * Waits once for the RDMA devices of all functions that have none although their drivers are bound and functions of
   * their kind have some: the module that makes them may still be loading. What is waited for in vain is remembered.
   *
   * @returns whether some have come
   */
  async awaitLateDevices(): Promise<boolean> {
    const { vfs, rdmaPfs } = this.#look();
    const { kernel, withoutRdma } = this.node;
    const late = vfs.filter((vf) =>
      vf.reason === NO_RDMA_DEVICE && rdmaPfs.includes(vf.pf) && !withoutRdma.has(vf)
    );
    if (late.length === 0) return false;
    this.terminal.err(`Waiting for the RDMA devices of ${late.length} virtual functions\n`);
    const missing = await awaitRdma(kernel, late, this.options.timeoutMs);
    for (const vf of missing) withoutRdma.add(vf);
    return missing.length < late.length;
  }

  /** Says what was left alone, and the counts. */
  summarize(): ExitCode {
    const [given, failed] = [this.#given.size, this.#failed.size];
    const others = this.#look().vfs.filter(({ deviceId }) =>
      !this.#given.has(deviceId) && !this.#failed.has(deviceId)
    );
    for (const vf of others) {
      if (!vf.ready) this.terminal.err(`${nameOf(vf)} is left alone: ${whyLeftAlone(vf)}\n`);
    }
    const ready = others.filter((vf) => vf.ready).length;
    const verb = this.options.dryRun ? "would be given" : "were given";
    this.terminal.err(`${ready} were ready, ${given} ${verb} an address, ${failed} could not be\n`);
    if (failed === 0) return ExitCode.ok;
    return given > 0 ? ExitCode.partial : ExitCode.failed;
  }

  /** All functions of the node, the virtual functions that were chosen, and which physical functions do RDMA. */
  #look(): { pfs: PhysicalFunction[]; all: VfStatus[]; vfs: VfStatus[]; rdmaPfs: string[] } {
    const { kernel } = this.node;
    const pfs = kernel.listPhysicalFunctions();
    const rdmaPfs = pfs.filter((pf) => hasRdmaFamily(kernel, pf, pfs)).map(({ name }) => name);
    const all = listVfs(kernel, pfs);
    return { pfs, all, vfs: all.filter(({ pf }) => this.names.includes(pf)), rdmaPfs };
  }

  #foretell(batch: readonly Step[]): Map<Step, string | Error> {
    return new Map(batch.map((step) => {
      const fault = this.#findFault(step, step.vf);
      return [step, fault ?? `${nameOf(step.vf)} would get ${step.mac} (${step.need})`];
    }));
  }

  /**
   * @returns for each what was done, for people, or why it was not; those that are ready by now, or that the host uses,
   * are left out
   */
  async #take(batch: readonly Step[]): Promise<Map<Step, string | Error>> {
    const { kernel } = this.node;
    const outcomes = new Map<Step, string | Error>();
    const assignments = new Map<Assignment, Step>();
    let lock: Disposable;
    try {
      lock = lockPlugin(this.node);
    } catch (error) {
      return new Map(batch.map((step) => [step, error as Error]));
    }
    using _lock = lock;
    const { vfs } = this.#look(); // a pod, or the host, may have got one since the plan was made
    for (const step of batch) {
      const vf = vfs.find(({ deviceId }) => deviceId === step.vf.deviceId);
      if (vf?.ready || (vf?.usedByHost !== undefined && !this.forced.includes(vf.deviceId))) continue;
      const fault = vf ? this.#findFault(step, vf) : new CommandError(`${nameOf(step.vf)} has gone`);
      if (fault || !vf) outcomes.set(step, fault!);
      else {
        const address = { mac: String(step.mac) };
        assignments.set({ pf: step.pf, vf, address, expectsRdma: vf.rdmaDevice !== undefined }, step);
      }
    }
    for (const [assignment, outcome] of await give(kernel, [...assignments.keys()], this.options.timeoutMs)) {
      const step = assignments.get(assignment)!;
      const words = (now: VfStatus) =>
        `${nameOf(now)} has ${step.mac}, node GUID ${now.nodeGuid ?? "none"} (before: ${step.need})`;
      outcomes.set(step, outcome instanceof Error ? outcome : words(outcome));
    }
    return outcomes;
  }

  /** Why a function cannot be given what is planned for it. */
  #findFault({ mac }: Step, vf: VfStatus): CommandError | undefined {
    try {
      if (!this.forced.includes(vf.deviceId)) refuseInUse(this.node, vf);
    } catch (error) {
      if (error instanceof CommandError) return error;
      throw error;
    }
    return typeof mac === "string"
      ? undefined
      : new CommandError(`Cannot give ${nameOf(vf)} an address: ${mac.obstacle}`);
  }
}

/** Functions of one physical function, not too many of them. */
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

function whyLeftAlone({ reason, usedByHost, driver }: VfStatus): string {
  if (usedByHost !== undefined) return `${reason}, but the host uses it: ${usedByHost}`;
  return driver === undefined ? `${reason}, and no function of its kind has an RDMA device` : `${reason}`;
}

/** A failure of one virtual function, which is no reason not to go on with the next. */
function explain(thrown: Error): string {
  const error = toCommandError(thrown);
  if (error instanceof CommandError) {
    return error.advice ? `${error.message}; ${error.advice}` : error.message;
  }
  if (error instanceof NetlinkError || error instanceof SyscallError) return error.message;
  throw error;
}

/** On a file system in memory, so that it ends with the boot. */
const WITHOUT_RDMA_DIRECTORY = "/run/rdma-cni/without-rdma";

/**
 * Virtual functions whose drivers were waited for in vain to make an RDMA device, until the next boot: a file each,
 * named after the PCI address, with the driver's name in it. It only spares the next run that wait, so it may be
 * removed at any time; and if it cannot be written, the next run waits too.
 */
export class WithoutRdma {
  constructor(readonly directory: string = WITHOUT_RDMA_DIRECTORY) {}

  has({ deviceId, driver }: VfStatus): boolean {
    return driver !== undefined && quietly(() => Deno.readTextFileSync(this.#path(deviceId))) === driver;
  }

  /** Writes a new file each time: what stands in its place, a link perhaps, is not written to. */
  add({ deviceId, driver = "" }: VfStatus): void {
    const path = this.#path(deviceId);
    quietly(() => Deno.removeSync(path));
    quietly(() => {
      Deno.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      Deno.writeTextFileSync(path, driver, { createNew: true, mode: 0o600 });
    });
  }

  #path(deviceId: string): string {
    return `${this.directory}/${deviceId}`;
  }
}

function quietly<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
