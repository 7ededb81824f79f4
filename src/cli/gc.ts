/** `gc`: cleans up after pods that are gone. */
import type { Command } from "@commander-js/extra-typings";
import type { RdmaDevice } from "../kernel/kernel.ts";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { Log } from "../log.ts";
import { judge } from "../node/fate.ts";
import { type Namespace, pathTo, takeInventory } from "../node/inventory.ts";
import { KEYS } from "../plugin/config/keys.ts";
import { DeviceIndexes, INDEX_DIRECTORY } from "../plugin/record/device_indexes.ts";
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
import { type Format, JSON_OPTION, outputOption, printAs, QUIET } from "./output.ts";
import { type Context, printNote, type Terminal } from "./terminal.ts";
import { repeat, watchOption } from "./watch.ts";

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
export function addGcCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const command = program.command("gc")
    .description("clean up after pods that are gone: RDMA devices on the host, and records")
    .option("--network <NAME>", "only those of one network")
    .option("--dry-run", "only print what would be done")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET)
    .addOption(watchOption("do it again", WATCH_SECONDS))
    .action(async ({ watch: watchMs, ...options }) => {
      exit(
        await repeat({ kernel, terminal }, watchMs, () => collectGarbage(gcNode(kernel), terminal, options)),
      );
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
  return { kernel, state: new State(STATE_DIRECTORY), indexes: new DeviceIndexes(INDEX_DIRECTORY) };
}

export interface GcOptions {
  readonly network?: string;
  readonly dryRun?: boolean;
  readonly output?: Format;
}

/** What became of the record of a pod that is gone. "away": a device is in another namespace, so the record stays. */
interface Outcome {
  readonly file: string;
  readonly deviceID: string;
  readonly state: "stale" | "restored" | "away" | "failed";
  /** Why it is stale, where the device is, or why it failed. */
  readonly reason: string;
}

/**
 * Restores what the host has of the devices of stale records and removes these, one at a time, each under the plugin's
 * lock. No device is moved: nobody has said that a pod has ended, and what shows that it has may be wrong.
 *
 * @throws {CommandError} when not all processes can be seen, so that a pod could be taken for gone
 * @throws {CniError} code 11 when calls of the plugin have the lock for 100 seconds
 */
export function collectGarbage(node: GcNode, terminal: Terminal, options: GcOptions): ExitCode {
  const { kernel, state } = node;
  const { network, dryRun = false, output = "table" } = options;
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
    const restored = restore(node, terminal, record);
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
  printAs(terminal, output, found, () => report(terminal, found));
  const left = outcomes.filter(isLeft);
  if (dryRun || left.length === 0) return ExitCode.ok;
  return left.length < outcomes.length ? ExitCode.partial : ExitCode.failed;
}

/** What is printed, and as JSON. */
interface Report {
  readonly records: readonly Outcome[];
  readonly unreadable: readonly UnreadableFile[];
  readonly unexplainedDevices: readonly UnexplainedDevice[];
}

function report(terminal: Terminal, { records, unreadable, unexplainedDevices }: Report): void {
  for (const { fault } of unreadable) terminal.err(`${fault}: left alone\n`);
  for (const outcome of records) {
    const line = `${describe(outcome)}\n`;
    if (isLeft(outcome)) terminal.err(line);
    else printNote(terminal, line);
  }
  for (const { name, index, netns } of unexplainedDevices) {
    printNote(
      terminal,
      `RDMA device ${name} (index ${index}) is in ${netns}, and no record says why: left alone\n`,
    );
  }
  if (records.length === 0) printNote(terminal, "No record is stale\n");
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
function restore(node: Node, terminal: Terminal, { file, bootTimeUs, createdAt }: StoredRecord) {
  const { kernel, state } = node;
  using _lock = lockState(kernel, state.directory, "rdma-cni gc", KEYS.lockTimeoutMs.default);
  const log = new Log((line) => terminal.err(line));
  log.level = terminal.isQuiet ? "error" : "warning";
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
