/** `doctor --summary`: whether all RDMA devices are on the host or in pods, for health checks. */
import { CniError } from "../../cni/error.ts";
import type { RdmaDevice } from "../../kernel/kernel.ts";
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { exists } from "../../kernel/sysfs.ts";
import { type Inventory, takeInventory } from "../../node/inventory.ts";
import { findPlaces, without } from "../../node/places.ts";
import { lockState } from "../../plugin/record/lock.ts";
import { State } from "../../plugin/record/state.ts";
import { toPrintable } from "../../printable.ts";
import { messageOf } from "../../sys/errno.ts";
import { EXIT_CODES, type Level } from "../report.ts";
import type { Result } from "../terminal.ts";
import { mayHaveRdma } from "./devices.ts";
import type { ExaminedNode } from "./finding.ts";
import { stateDirectory } from "./records.ts";

interface Summary {
  /** "warning": it cannot be known whether some devices are lost. */
  readonly level: Level;
  readonly text: string;
  /** Numbers of devices. */
  readonly total: number;
  readonly onHost: number;
  readonly inPods: number;
  readonly lost: number;
  readonly unknown: number;
}

/** Shows the summary. */
export function showSummary(node: ExaminedNode): Result {
  const summary = summarize(node);
  const { level, text } = summary;
  return {
    code: EXIT_CODES[level],
    value: summary,
    text: ({ isQuiet }) => isQuiet && level === "ok" ? [] : [{ text }],
  };
}

/** node-problem-detector's exit codes: OK, NonOK and Unknown. */
const NPD_CODES = { ok: 0, note: 0, problem: 1, warning: 2 } as const;

/** Characters that node-problem-detector takes, unless its configuration says otherwise. */
const NPD_LENGTH = 80;

/** Shows the summary to node-problem-detector, for which whatever keeps it from being made is "Unknown". */
export function showToNodeProblemDetector(node: ExaminedNode): Result {
  const { level, text } = attemptSummary(node);
  return { code: NPD_CODES[level], text: () => [{ text: toPrintable(text).slice(0, NPD_LENGTH) }] };
}

function attemptSummary(node: ExaminedNode): Pick<Summary, "level" | "text"> {
  try {
    return summarize(node);
  } catch (error) {
    return { level: "warning", text: messageOf(error) };
  }
}

const NOTHING = { total: 0, onHost: 0, inPods: 0, lost: 0, unknown: 0 };

/**
 * Counts the RDMA devices.
 *
 * A device that no record explains may be one that a CNI call is moving. So calls are waited for, and the node is looked
 * at again: only a device that is without explanation both times is lost.
 */
function summarize(node: ExaminedNode): Summary {
  if (!mayHaveRdma(node)) return { level: "ok", text: "no RDMA adapter here", ...NOTHING };
  const { kernel, root } = node;
  const state = new State(stateDirectory(root));
  const first = look(takeInventory(kernel, state));
  if (first.unexplained.length === 0) return toSummary({ ...first, isCertain: true });
  const isSettled = waitForCalls(kernel, state.directory);
  const { onHost, inPods, unexplained, isComplete } = look(takeInventory(kernel, state));
  const still = unexplained.filter((name) => first.unexplained.includes(name));
  return toSummary({
    onHost,
    inPods: inPods + unexplained.length - still.length,
    unexplained: still,
    isCertain: isSettled && isComplete,
  });
}

/** The numbers of devices in each place, and the names of those that no record explains. */
interface Look {
  readonly onHost: number;
  readonly inPods: number;
  readonly unexplained: readonly string[];
}

function look(inventory: Inventory): Look & { readonly isComplete: boolean } {
  const { onHost, inPods, strange } = findPlaces(inventory);
  const names = inventory.deviceNames.map((name) => ({ name }));
  const known = [...onHost, ...[...inPods, ...strange].flatMap(({ devices }) => devices)];
  const hidden = without(names, known);
  // The host comes last, so a device that a DEL moved meanwhile is there too.
  const isAway = ({ index }: RdmaDevice) => !onHost.some((one) => one.index === index);
  return {
    onHost: onHost.length,
    inPods: new Set(inPods.flatMap(({ devices }) => devices.filter(isAway))).size,
    unexplained: [...strange.flatMap(({ devices }) => devices.filter(isAway)), ...hidden]
      .map(({ name }) => name),
    isComplete: inventory.isComplete,
  };
}

/** A health check that waits longer would be taken for one that hangs. */
const LOCK_TIMEOUT_MS = 10_000;

/** Waits until the CNI calls have ended that are at work. @returns whether they have */
function waitForCalls(kernel: NodeKernel, directory: string): boolean {
  if (!exists(directory)) return true; // the first call makes it
  try {
    lockState(kernel, directory, "rdma-cni doctor", LOCK_TIMEOUT_MS)[Symbol.dispose]();
    return true;
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    return false;
  }
}

function toSummary(
  { onHost, inPods, unexplained, isCertain }: Look & { readonly isCertain: boolean },
): Summary {
  const count = unexplained.length;
  const accounted = onHost + inPods;
  const total = accounted + count;
  if (total === 0) return { level: "problem", text: "there is no RDMA device", ...NOTHING };
  const places = [
    `${onHost} on the host`,
    `${inPods} in pods`,
    ...count === 0 ? [] : [`${count} ${isCertain ? "lost" : "unknown"}`],
  ];
  return {
    level: count === 0 ? "ok" : isCertain ? "problem" : "warning",
    text: `${accounted} of ${total} RDMA devices accounted for: ${places.join(", ")}`,
    total,
    onHost,
    inPods,
    lost: isCertain ? count : 0,
    unknown: isCertain ? 0 : count,
  };
}
