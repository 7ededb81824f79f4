/** `vf-mac init`. */
import { NetlinkError } from "../../kernel/kernel.ts";
import type { PhysicalFunction } from "../../kernel/node_kernel.ts";
import type { Memo } from "../../plugin/record/memo.ts";
import { SyscallError } from "../../sys/errno.ts";
import { CommandError, ExitCode, toCommandError } from "../errors.ts";
import type { Reporter, Result } from "../terminal.ts";
import { assertUnused, findPf, findVf, hasRdmaFamily, type VfNode } from "./find.ts";
import { assignAddresses, formatAddress, lockPlugin } from "./assign.ts";
import { listVfs, nameVf, NO_ADMIN_ADDRESS, NO_RDMA_DEVICE, type VfStatus } from "../../node/functions.ts";
import { type Assignment, planAddresses } from "./plan.ts";
import { waitForRdmaDevices } from "./rebind.ts";

/** The number of virtual functions that are rebound at once: pods that start meanwhile wait for all of these. */
const BATCH_SIZE = 16;
/** Pause between two batches, in which the first waiting call of the plugin wakes up and takes the lock. */
const LOCK_PAUSE_MS = 200;

/** Options of `vf-mac init`. */
export interface InitOptions {
  /** Numbers of virtual functions, of the only physical function, to include even if they are in use. */
  readonly force: readonly string[];
  readonly dryRun: boolean;
  readonly timeoutMs: number;
}

/** The node that `vf-mac init` works on. */
export interface InitNode extends VfNode {
  readonly noRdma: Memo;
}

/**
 * Sets the administrative address of every virtual function that needs one, and rebinds its driver if its node GUID is
 * not good already. Leaves alone those that are ready, do not support RDMA or are used by the host. So a second run
 * changes nothing.
 *
 * @param names names of physical functions; undefined for all of the node
 * @returns partial when some could not be given an address, failed when none could
 * @throws {CommandError} when a name is wrong; nothing was changed
 */
export async function initVfs(
  node: InitNode,
  reporter: Reporter,
  names: readonly string[] | undefined,
  options: InitOptions,
): Promise<Result> {
  const chosen = choosePfs(node, names);
  const forced = options.force.map((number) => findVf(node.kernel, chosen[0]!, number).deviceId);
  using signals = node.kernel.catchSignals();
  const init = new Init(node, reporter, chosen.map(({ name }) => name), forced, options);
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
  readonly #assignments = new Map<string, Assignment>();

  constructor(
    readonly node: InitNode,
    readonly reporter: Reporter,
    readonly names: readonly string[],
    readonly forced: readonly string[],
    readonly options: InitOptions,
  ) {}

  /** Gives addresses to all functions that need one, except those that have failed before. */
  async assignAll(signals: { caught(): Promise<string | undefined> }): Promise<void> {
    const { reporter, options: { dryRun } } = this;
    const { pfs, all, rdmaPfs } = this.#inspect();
    const plan = planAddresses(pfs, all, { names: this.names, rdmaPfs, forced: this.forced })
      .filter(({ vf }) => !this.#assignments.get(vf.deviceId)?.failure);
    let done = 0;
    const batches = splitIntoBatches(plan);
    for (const [number, batch] of batches.entries()) {
      const signal = await signals.caught();
      if (signal !== undefined) {
        const rest = batches.slice(number).flat();
        for (const one of rest) {
          one.failure = new CommandError(`${signal} stopped the command`);
          this.#assignments.set(one.vf.deviceId, one);
        }
        const refusal = `Stopped by ${signal}: ${rest.length} virtual functions were not examined`;
        return reporter.remark({ refusal });
      }
      if (number > 0 && !dryRun) await this.node.kernel.delay(LOCK_PAUSE_MS);
      if (!dryRun) reporter.showProgress(done, plan.length, describeBatch(batch));
      const examined = dryRun ? batch : await this.#assign(batch);
      for (const one of examined) {
        if (dryRun) this.#refuseUsed(one);
        this.#assignments.set(one.vf.deviceId, one);
        done++;
        if (one.failure) reporter.remark({ refusal: explain(one.failure) });
        else reporter.remark(this.#describe(one));
      }
    }
  }

  /**
   * Waits once for the RDMA devices of all functions whose drivers are bound and whose kind has some: the module that
   * makes them may still be loading. Remembers those that never came.
   *
   * @returns whether some have appeared
   */
  async waitForLateDevices(): Promise<boolean> {
    const { vfs, rdmaPfs } = this.#inspect();
    const { kernel, noRdma } = this.node;
    const isKnown = ({ deviceId, driver }: VfStatus) =>
      driver !== undefined && noRdma.get(deviceId) === driver;
    const late = vfs.filter((vf) => vf.reason === NO_RDMA_DEVICE && rdmaPfs.includes(vf.pf) && !isKnown(vf));
    if (late.length === 0) return false;
    this.reporter.remark({ note: `Waiting for the RDMA devices of ${late.length} virtual functions` });
    const missing = await waitForRdmaDevices(kernel, late, this.options.timeoutMs);
    for (const { deviceId, driver = "" } of missing) noRdma.set(deviceId, driver);
    return missing.length < late.length;
  }

  /** Returns the outcomes of all functions for programs, and for people what was left alone, and the counts. */
  summarize(): Result {
    const { dryRun } = this.options;
    const others = this.#inspect().vfs.filter(({ deviceId }) => !this.#assignments.has(deviceId));
    const given = [...this.#assignments.values()];
    const failed = given.filter(({ failure }) => failure).length;
    const ready = others.filter((vf) => vf.ready).length;
    const done = given.length - failed;
    const position = ({ pf, number }: VfStatus) => this.names.indexOf(pf) * 1e6 + number;
    const all = [...given.map(({ vf }) => vf), ...others].sort((a, b) => position(a) - position(b));
    const counts = `ready ${ready}, ${dryRun ? "planned" : "assigned"} ${done}, failed ${failed}`;
    return {
      code: failed === 0 ? ExitCode.ok : done > 0 ? ExitCode.partial : ExitCode.failed,
      value: {
        dryRun,
        vfs: all.map((vf) => {
          const { pf, number, deviceId } = vf;
          const assignment = this.#assignments.get(deviceId);
          const outcome = assignment ? this.#toJson(assignment) : describeOther(vf);
          return { pf, number, deviceID: deviceId, ...outcome };
        }),
      },
      remarks: [
        ...others.filter((vf) => !vf.ready).map((vf) => ({
          note: `${nameVf(vf)} is left alone: ${explainSkipped(vf)}`,
        })),
        dryRun ? { plan: counts } : { note: counts },
      ],
    };
  }

  #toJson({ vf: { nodeGuid }, address, need: reason, failure }: Assignment) {
    if (failure) return { state: "failed", reason: explain(failure) };
    const mac = formatAddress(address);
    return this.options.dryRun
      ? { state: "planned", mac, reason }
      : { state: "given", mac, nodeGuid, reason };
  }

  #describe({ vf, address, need, rebind }: Assignment): { plan: string } | { note: string } {
    const mac = formatAddress(address);
    const how = rebind ? mac : `${mac} as its administrative address, without a rebind`;
    if (this.options.dryRun) return { plan: `${nameVf(vf)} would get ${how} (${need})` };
    return { note: `${nameVf(vf)} has ${how}, node GUID ${vf.nodeGuid ?? "none"} (before: ${need})` };
  }

  /** Reads all functions of the node, with the chosen virtual functions, and the physical functions that support RDMA. */
  #inspect(): { pfs: PhysicalFunction[]; all: VfStatus[]; vfs: VfStatus[]; rdmaPfs: string[] } {
    const { kernel } = this.node;
    const pfs = kernel.listPhysicalFunctions();
    const rdmaPfs = pfs.filter((pf) => hasRdmaFamily(kernel, pf, pfs)).map(({ name }) => name);
    const all = listVfs(kernel, pfs);
    return { pfs, all, vfs: all.filter(({ pf }) => this.names.includes(pf)), rdmaPfs };
  }

  /** @returns those that were given an address or could not be, without those that are ready by now or that the host uses */
  async #assign(batch: readonly Assignment[]): Promise<readonly Assignment[]> {
    let lock: Disposable;
    try {
      lock = lockPlugin(this.node);
    } catch (error) {
      for (const one of batch) one.failure = error as Error;
      return batch;
    }
    using _lock = lock;
    const { vfs } = this.#inspect(); // a pod or the host may have taken one since the plan was made
    const examined = batch.filter((one) => {
      const vf = vfs.find(({ deviceId }) => deviceId === one.vf.deviceId);
      if (!vf) one.failure = new CommandError(`${nameVf(one.vf)} is gone`);
      else if (vf.ready || vf.usedByHost !== undefined && !this.forced.includes(vf.deviceId)) return false;
      else {
        one.vf = vf;
        one.rebind = vf.reason !== NO_ADMIN_ADDRESS;
        one.expectsRdma = vf.rdmaDevice !== undefined;
        this.#refuseUsed(one);
      }
      return true;
    });
    const good = examined.filter(({ failure }) => !failure);
    await assignAddresses(this.node.kernel, good, this.options.timeoutMs);
    return examined;
  }

  /** Fails a function that somebody uses, unless it is forced. */
  #refuseUsed(assignment: Assignment): void {
    if (this.forced.includes(assignment.vf.deviceId)) return;
    try {
      assertUnused(this.node, assignment.vf);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      assignment.failure = error;
    }
  }
}

/** Splits a plan so that each batch is of one physical function. */
function splitIntoBatches(plan: readonly Assignment[]): Assignment[][] {
  return [...Map.groupBy(plan, ({ pf }) => pf.name).values()].flatMap((alike) =>
    Array.from(
      { length: Math.ceil(alike.length / BATCH_SIZE) },
      (_, number) => alike.slice(number * BATCH_SIZE, (number + 1) * BATCH_SIZE),
    )
  );
}

function describeBatch(batch: readonly Assignment[]): string {
  const [{ vf }] = batch as [Assignment];
  if (batch.length === 1) return nameVf(vf);
  return `VF ${batch.map(({ vf }) => vf.number).join(", ")} of ${vf.pf}`;
}

/** Returns the outcome of a function that needed no address. */
function describeOther(vf: VfStatus) {
  const { ready, nodeGuid } = vf;
  return ready ? { state: "ready", nodeGuid } : { state: "skipped", reason: explainSkipped(vf) };
}

function explainSkipped({ reason, usedByHost, driver }: VfStatus): string {
  if (usedByHost !== undefined) return `${reason}, but the host uses it: ${usedByHost}`;
  return `${reason}${driver === undefined ? ", and no function of its kind has an RDMA device" : ""}`;
}

/** @throws what is not a failure of the function, so that others could go on */
function explain(failure: Error): string {
  const error = toCommandError(failure);
  if (error instanceof CommandError) {
    return error.advice ? `${error.message}; ${error.advice}` : error.message;
  }
  if (error instanceof NetlinkError || error instanceof SyscallError) return error.message;
  throw error;
}
