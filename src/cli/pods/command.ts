/** `pods`: reads which pod has which RDMA device, and shows it. */
import type { Command } from "@commander-js/extra-typings";
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { formatMetrics } from "../../node/metrics.ts";
import { type Fault, findFaults, findStateFault } from "../../node/faults.ts";
import { collect, type Collected, type PodDevice } from "../../node/pods.ts";
import { State, STATE_DIRECTORY } from "../../plugin/record/state.ts";
import { isPermission, messageOf } from "../../sys/errno.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { addExamples, addNotes } from "../help.ts";
import { removedOption } from "../option_values.ts";
import { JSON_OPTION, outputOption, QUIET } from "../output.ts";
import { formatTable } from "../table.ts";
import type { Context, Result } from "../terminal.ts";
import { perform, WATCH } from "../watch.ts";
import { listRows, POD_TABLE } from "./table.ts";

const NOTES = `
The pods are those that the plugin's records name. Ports, counters and resources are read in each pod's network
namespace; nothing is left behind there.

Exit codes:
  0  all devices are where the records say
  1  nothing could be read
  2  wrong command line
  3  some records are stale, some devices are missing or cannot be used, or some could not be read`;

/** Adds `pods`. */
export function addPodsCommand(program: Command, context: Context): void {
  const command = program.command("pods")
    .description("show which pod has which RDMA device, with its state and counters")
    .addOption(outputOption("wide", "prometheus"))
    .addOption(JSON_OPTION)
    .addOption(WATCH)
    .addOption(QUIET)
    .addOption(removedOption("--textfile <DIR>", "agent --metrics ADDRESS:PORT"))
    .action(({ watch, ...options }) => {
      const node = { kernel: context.kernel, state: new State(STATE_DIRECTORY) };
      return perform(context, () => showPods(node, options), { watch });
    });
  addNotes(command, NOTES);
  addExamples(command, [
    ["pods", "which pod has which device"],
    ["pods -o wide --watch", "with traffic, resources and errors, every two seconds"],
    [`pods --json | jq '.[] | select(.state != "present")'`, "only what is not in its pod"],
  ]);
}

interface Options {
  /** The form of the result. */
  readonly output?: string;
}

/**
 * Shows which pod has which RDMA device, and says what is not as it should be.
 *
 * @throws {CommandError} without the rights to read
 */
export function showPods(
  { kernel, state }: { readonly kernel: NodeKernel; readonly state: State },
  { output }: Options = {},
): Result {
  const found = read(kernel, state);
  const { devices, faults } = found;
  const odd = devices.filter(({ status }) => status !== "present");
  const findings = findFaults(kernel, devices);
  const stateFault = findStateFault(state);
  const all = [...stateFault ? [`${stateFault.text}: ${stateFault.fix}`] : [], ...faults];
  return {
    code: odd.length + findings.length + all.length === 0 ? ExitCode.ok : ExitCode.partial,
    remarks: [
      ...all.map((error) => ({ error })),
      ...findings.map(({ text, fix }) => ({ error: `${text}: ${fix}` })),
      ...odd.flatMap(({ record, status, advice }) =>
        advice === undefined ? [] : [{ note: `${record} is ${status}: ${advice}` }]
      ),
    ],
    value: devices.map((device) => toJson(device, findings.filter(({ record }) => record === device.record))),
    text: output === "prometheus"
      ? formatMetrics(found)
      : formatTable(POD_TABLE, listRows(devices), output === "wide"),
  };
}

function toJson(
  { deviceId, containerId, status, advice, createdAt, netdev: _, ...facts }: PodDevice,
  faults: readonly Fault[],
) {
  return {
    ...facts,
    ...(containerId === undefined ? {} : { containerID: containerId }),
    deviceID: deviceId,
    state: status,
    ...(advice === undefined ? {} : { fix: advice }),
    findings: faults.map(({ level, text, fix }) => ({ level, text, fix })),
    createdAt: new Date(createdAt).toISOString(),
  };
}

function read(kernel: NodeKernel, state: State): Collected {
  try {
    return collect(kernel, state);
  } catch (error) {
    if (!isPermission(error)) throw error;
    throw new CommandError(
      messageOf(error),
      "This needs root with CAP_SYS_ADMIN, and CAP_SYS_PTRACE where network namespaces have paths below /proc.",
      undefined,
      { cause: error },
    );
  }
}
