/** `pods`: reads, and shows or writes what it found. */
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import type { State } from "../../plugin/state.ts";
import { messageOf } from "../../sys/errno.ts";
import { replaceFile } from "../../sys/files.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { formatTable } from "../table.ts";
import type { Result } from "../terminal.ts";
import { collect, type Collected } from "./collect.ts";
import { formatMetrics } from "./prometheus.ts";
import { listRows, POD_TABLE } from "./table.ts";

/** node-exporter's textfile collector reads files whose names end so. */
export const METRICS_FILE = "rdma.prom";

interface Options {
  /** The form of the result. */
  readonly output?: string;
  /** The directory to write metrics to; then nothing is printed. */
  readonly textfile?: string | undefined;
}

/**
 * Shows which pod has which RDMA device, and says what is not as it should be.
 *
 * @throws {CommandError} without the rights to read, or if the metrics cannot be written
 */
export function showPods(
  { kernel, state }: { readonly kernel: NodeKernel; readonly state: State },
  { output, textfile }: Options = {},
): Result {
  const found = collect(kernel, state);
  const { devices, faults } = found;
  const odd = devices.filter(({ status }) => status !== "present");
  const outcome = {
    code: odd.length + faults.length === 0 ? ExitCode.ok : ExitCode.partial,
    remarks: [
      ...faults.map((error) => ({ error })),
      ...odd.flatMap(({ record, status, advice }) =>
        advice === undefined ? [] : [{ note: `${record} is ${status}: ${advice}` }]
      ),
    ],
  };
  if (textfile !== undefined) {
    writeMetrics(textfile, found);
    return outcome;
  }
  return {
    ...outcome,
    value: devices.map((device) => ({ ...device, createdAt: new Date(device.createdAt).toISOString() })),
    text: output === "prometheus"
      ? formatMetrics(found)
      : formatTable(POD_TABLE, listRows(devices), output === "wide"),
  };
}

/** At any instant the file is the old one or the new one, whole, and node-exporter can read it. */
function writeMetrics(directory: string, found: Collected): void {
  const path = `${directory}/${METRICS_FILE}`;
  try {
    replaceFile(path, formatMetrics(found), 0o644);
  } catch (cause) {
    throw new CommandError(
      `Cannot write ${JSON.stringify(path)}: ${messageOf(cause)}`,
      "Name the directory that node-exporter has in --collector.textfile.directory.",
      undefined,
      { cause },
    );
  }
}
