/** `gc`: cleans up after pods that are gone. */
import type { Command } from "@commander-js/extra-typings";
import type { RdmaDevice } from "../kernel/kernel.ts";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { Log } from "../log.ts";
import { judge } from "../node/fate.ts";
import { type Namespace, pathTo, takeInventory } from "../node/inventory.ts";
import { KEYS } from "../plugin/config/keys.ts";
import { INDEX_DIRECTORY, Memo } from "../plugin/record/memo.ts";
import { toCniError } from "../plugin/errors.ts";
import { belongsTo } from "../plugin/gc.ts";
import { lockState } from "../plugin/record/lock.ts";
import { isSameNetns } from "../plugin/record/namespaces.ts";
import { type Node, PAUSE_MS } from "../plugin/node.ts";
import { restoreOnHost } from "../plugin/restore.ts";
import {
  isRecord,
  State,
  STATE_DIRECTORY,
  type StoredRecord,
  type UnreadableFile,
} from "../plugin/record/state.ts";
import { messageOf } from "../sys/errno.ts";
import { CommandError, ExitCode } from "./errors.ts";
import { addExamples } from "./help.ts";
import { JSON_OPTION, outputOption, QUIET } from "./output.ts";
import type { Context, Remark, Reporter, Result } from "./terminal.ts";
import { perform, watchOption } from "./watch.ts";

/** As rdma-cni-gc.timer does. */
const WATCH_SECONDS = 900;

const NOTES = `
A record is stale if its pod's network namespace has gone. Then the RDMA devices that the kernel has returned to the
host get their names and settings back, and the record is removed. gc never moves a device: one that is not on the host
is in a namespace that something keeps alive, so its record stays, and gc says where it is.

Exit codes:
  0  done, or nothing to do
  1  failed
  2  wrong command line; nothing was done
  3  done for some of the stale records`;

/** Adds `gc`. */
export function addGcCommand(program: Command, context: Context): void {
  const command = program.command("gc")
    .description("clean up after pods that are gone: RDMA devices on the host, and records")
    .option("--network <NAME>", "only those of one network")
    .option("--dry-run", "only print what would be done")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET)
    .addOption(watchOption("do it again", WATCH_SECONDS))
    .action(({ watch, ...options }) => {
      const { kernel, terminal } = context;
      return perform(context, () => collectGarbage(gcNode(kernel), terminal, options), {
        watch,
        isLog: true,
      });
    });
  command.addHelpText("after", NOTES);
  addExamples(command, [
    ["gc --dry-run", "what would be done"],
    ["gc", "for all networks; rdma-cni-gc.timer does it every 15 minutes"],
    ["gc --network roce --json", "for one network, with the outcome as JSON"],
  ]);
}

/** A node, of which all processes can be examined. */
type GcNode = Node & { readonly kernel: NodeKernel };

/** This machine. */
export function gcNode(kernel: NodeKernel): GcNode {
  return { kernel, state: new State(STATE_DIRECTORY), indexes: new Memo(INDEX_DIRECTORY) };
}

export interface GcOptions {
  readonly network?: string;
  readonly dryRun?: boolean;
  readonly quiet?: boolean | undefined;
}

/** The record of a pod that is gone, and its fate. "away": a device is in another namespace, so the record stays. */
interface Outcome {
  readonly file: string;
  readonly deviceID: string;
  readonly state: "stale" | "restored" | "away" | "failed";
  /** The reason that it is stale or failed, or the place of the device. */
  readonly reason: string;
}

/**
 * Restores what the host has of the devices of stale records and removes these, one at a time, each under the plugin's
 * lock. No device is moved: nobody has said that a pod has ended, and what shows that it has may be wrong.
 *
 * @throws {CommandError} when not all processes can be seen, so that a pod could be taken for gone
 * @throws {CniError} code 11 when calls of the plugin have the lock for 100 seconds
 */
export function collectGarbage(node: GcNode, reporter: Reporter, options: GcOptions = {}): Result {
  const { kernel, state } = node;
  const { network, dryRun = false, quiet = false } = options;
  const log = new Log((line) => reporter.remark({ error: line.trimEnd() }));
  log.level = quiet ? "error" : "warning";
  const inventory = takeInventory(kernel, state);
  if (!inventory.isComplete) throw cannotSeeAll();
  const chosen = inventory.records.filter((record) => network === undefined || belongsTo(network, record));
  const outcomes = chosen.flatMap((record): Outcome[] => {
    const { file, deviceId: deviceID } = record;
    const fate = judge(inventory, record, "rdma-cni");
    const { reason } = fate;
    if (fate.state === "lost") return [{ file, deviceID, state: "away", reason }];
    if (fate.state !== "stale") return [];
    if (dryRun) return [{ file, deviceID, state: "stale", reason }];
    const restored = restore(node, log, record);
    kernel.sleep(PAUSE_MS); // in which the first waiting call wakes up and takes the lock
    return [{ file, deviceID, reason, ...restored }];
  });
  // An ADD may have come since, or a DEL.
  const known = [...inventory.records, ...state.list()];
  const found = {
    records: outcomes,
    unreadable: inventory.unreadable,
    unexplainedDevices: inventory.mode === "exclusive"
      ? inventory.namespaces.flatMap((one) => listUnexplained(one, known))
      : [],
  };
  const left = outcomes.filter(isLeft);
  const isDone = dryRun || left.length === 0;
  const code = isDone ? ExitCode.ok : left.length < outcomes.length ? ExitCode.partial : ExitCode.failed;
  return { code, value: found, text: () => report(found) };
}

/** The outcome of all that was looked at. */
interface Report {
  readonly records: readonly Outcome[];
  readonly unreadable: readonly UnreadableFile[];
  readonly unexplainedDevices: readonly UnexplainedDevice[];
}

function report({ records, unreadable, unexplainedDevices }: Report): Remark[] {
  return [
    ...unreadable.map(({ fault }) => ({ error: `${fault}: left alone` })),
    ...records.map((one) => isLeft(one) ? { error: describe(one) } : { note: describe(one) }),
    ...unexplainedDevices.map(({ name, index, netns }) => ({
      note: `RDMA device ${name} (index ${index}) is in ${netns}, and no record says why: left alone`,
    })),
    ...records.length === 0 ? [{ note: "No record is stale" }] : [],
  ];
}

/** The record is still there although it should not. */
function isLeft({ state }: Outcome): boolean {
  return state === "away" || state === "failed";
}

function describe({ file, deviceID, state, reason }: Outcome): string {
  switch (state) {
    case "stale":
      return `${file}: ${reason}: the record of ${deviceID} would be removed`;
    case "restored":
      return `${file}: ${reason}: the RDMA devices of ${deviceID} are on the host, the record is removed`;
    case "away":
      return `${file}: ${reason}: the record stays`;
    case "failed":
      return `${file}: ${reason}`;
  }
}

/** The lock is held for each record alone, so that pods which start meanwhile wait no longer than for each other. */
function restore(node: Node, log: Log, { file, bootTimeUs, createdAt }: StoredRecord) {
  const { kernel, state } = node;
  using _lock = lockState(kernel, state.directory, "rdma-cni gc", KEYS.lockTimeoutMs.default);
  try {
    const now = state.read(file);
    // An ADD may have made another record of that name since.
    const isSame = now && isRecord(now) && now.bootTimeUs === bootTimeUs && now.createdAt === createdAt;
    if (isSame) {
      if (!restoreOnHost(node, log, now)) return { state: "away", reason: "its device is away" } as const;
      state.remove(file);
    }
    return { state: "restored" } as const;
  } catch (error) {
    return { state: "failed", reason: messageOf(toCniError(error)) } as const;
  }
}

interface UnexplainedDevice {
  readonly name: string;
  readonly index: number;
  /** A path to the namespace that it is in. */
  readonly netns: string;
}

/** The RDMA devices of a namespace that no record accounts for. */
function listUnexplained(namespace: Namespace, records: readonly StoredRecord[]): UnexplainedDevice[] {
  const recorded = records.filter(({ netns }) => !netns || isSameNetns(namespace, netns))
    .flatMap(({ devices }) => devices);
  const isRecorded = ({ name, index }: RdmaDevice) =>
    recorded.some((device) =>
      device.index === index || device.index === undefined && device.podName === name
    );
  return namespace.devices.filter((device) => !isRecorded(device))
    .map(({ name, index }) => ({ name, index, netns: pathTo(namespace) }));
}

function cannotSeeAll(): CommandError {
  return new CommandError(
    "Cannot tell which pods are gone: not all processes of this machine can be seen",
    "Run it as root on the node itself; in a container it takes the host's PID namespace.",
  );
}
