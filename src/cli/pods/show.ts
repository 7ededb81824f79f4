/** What `pods` does: reads, and prints or writes what it found, once or again and again. */
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import type { State } from "../../plugin/record/state.ts";
import { messageOf } from "../../sys/errno.ts";
import { replaceFile } from "../../sys/files.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { type Format, printAs } from "../output.ts";
import { printTable } from "../table.ts";
import { printNote, type Terminal } from "../terminal.ts";
import { watch } from "../watch.ts";
import { collect, type Collected } from "./collect.ts";
import { formatMetrics } from "./prometheus.ts";
import { listRows, POD_TABLE } from "./table.ts";

/** node-exporter's textfile collector reads files whose names end so. */
export const METRICS_FILE = "rdma.prom";

interface Options {
  readonly format: Format | "wide" | "prometheus";
  /** The directory to write metrics to; then nothing is printed. */
  readonly textfile: string | undefined;
  /** Milliseconds between one reading and the next; undefined to read once. */
  readonly watchMs: number | undefined;
}

/**
 * Shows which pod has which RDMA device. With `watchMs` it returns when nobody reads the output any more.
 *
 * @throws {CommandError} without the rights to read, or if the metrics cannot be written
 */
export async function showPods(
  node: { readonly kernel: NodeKernel; readonly state: State },
  terminal: Terminal,
  { format, textfile, watchMs }: Options,
): Promise<ExitCode> {
  const { kernel, state } = node;
  return await watch({ kernel, terminal }, watchMs, () => collect(kernel, state), (found) => {
    if (textfile === undefined) print(terminal, format, found);
    else writeMetrics(textfile, found);
    return report(terminal, found);
  });
}

function print(terminal: Terminal, format: Options["format"], found: Collected): void {
  const devices = found.devices.map((device) => ({
    ...device,
    createdAt: new Date(device.createdAt).toISOString(),
  }));
  printAs(terminal, format, devices, () => {
    if (format === "prometheus") terminal.raw(formatMetrics(found));
    else printTable(terminal, POD_TABLE, listRows(found.devices), format === "wide");
  });
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

/** Says what is not as it should be. */
function report(terminal: Terminal, { devices, faults }: Collected): ExitCode {
  const odd = devices.filter(({ status }) => status !== "present");
  for (const fault of faults) terminal.err(`${fault}\n`);
  for (const { record, status, advice } of odd) {
    if (advice) printNote(terminal, `${record} is ${status}: ${advice}\n`);
  }
  return odd.length + faults.length === 0 ? ExitCode.ok : ExitCode.partial;
}
