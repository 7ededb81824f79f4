/** Cleaning up after pods that are gone. */
import { CniError, ErrorCode } from "../cni/error.ts";
import type { RdmaDevice } from "../kernel/kernel.ts";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import type { Log } from "../log.ts";
import { KEYS } from "../plugin/config/keys.ts";
import { toCniError } from "../plugin/errors.ts";
import { belongsTo } from "../plugin/gc.ts";
import type { Node } from "../plugin/node.ts";
import { lockState } from "../plugin/record/lock.ts";
import { isSameNetns } from "../plugin/record/namespaces.ts";
import { isRecord, type StoredRecord, type UnreadableFile } from "../plugin/record/state.ts";
import { restoreOnHost } from "../plugin/restore.ts";
import { messageOf } from "../sys/errno.ts";
import { judge } from "./fate.ts";
import { type Namespace, pathTo, takeInventory } from "./inventory.ts";

/** A node, of which all processes can be examined. */
export type GcNode = Node & { readonly kernel: NodeKernel };

/** The record of a pod that is gone, and its fate. "away": a device is in another namespace, so the record stays. */
export interface Outcome {
  readonly file: string;
  readonly deviceID: string;
  readonly state: "stale" | "restored" | "away" | "failed";
  /** The reason that it is stale or failed, or the place of the device. */
  readonly reason: string;
}

/** What was found, and what became of it. */
export interface Garbage {
  readonly records: readonly Outcome[];
  readonly unreadable: readonly UnreadableFile[];
  readonly unexplainedDevices: readonly UnexplainedDevice[];
}

/** Choices of {@linkcode collectStale}. */
export interface GarbageOptions {
  /** Only the records of this network. */
  readonly network?: string;
  /** Only find out. */
  readonly dryRun?: boolean;
}

/**
 * Restores what the host has of the devices of stale records and removes these, one at a time, each under the plugin's
 * lock. No device is moved: nobody has said that a pod has ended, and what shows that it has may be wrong.
 *
 * Yields after each record that it has changed, so that waiting calls can be let go first.
 *
 * @throws {CniError} code 4 when not all processes can be seen, so that a pod could be taken for gone; 11 when calls of
 *   the plugin have the lock for 100 seconds
 */
export function* collectStale(
  node: GcNode,
  log: Log,
  { network, dryRun = false }: GarbageOptions = {},
): Generator<Outcome, Garbage> {
  const { kernel, state } = node;
  const inventory = takeInventory(kernel, state);
  if (!inventory.isComplete) throw cannotSeeAll();
  const chosen = inventory.records.filter((record) => network === undefined || belongsTo(network, record));
  const records: Outcome[] = [];
  for (const record of chosen) {
    const { file, deviceId: deviceID } = record;
    const { state: fate, reason } = judge(inventory, record, "rdma-cni");
    if (fate === "lost") records.push({ file, deviceID, state: "away", reason });
    if (fate !== "stale") continue;
    const outcome: Outcome = {
      file,
      deviceID,
      state: "stale",
      reason,
      ...dryRun ? {} : restore(node, log, record),
    };
    records.push(outcome);
    if (!dryRun) yield outcome;
  }
  // An ADD may have come since, or a DEL.
  const known = [...inventory.records, ...state.list()];
  return {
    records,
    unreadable: inventory.unreadable,
    unexplainedDevices: inventory.mode === "exclusive"
      ? inventory.namespaces.flatMap((one) => listUnexplained(one, known))
      : [],
  };
}

/** The record is still there although it should not. */
export function isLeft({ state }: Outcome): boolean {
  return state === "away" || state === "failed";
}

/** Describes an outcome for people. */
export function describeOutcome({ file, deviceID, state, reason }: Outcome): string {
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

/** An RDMA device in a namespace, of which no record says why. */
export interface UnexplainedDevice {
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

function cannotSeeAll(): CniError {
  return new CniError(
    ErrorCode.invalidEnvironment,
    "Cannot tell which pods are gone: not all processes of this machine can be seen",
    "Run it as root on the node itself; in a container it takes the host's PID namespace.",
  );
}
