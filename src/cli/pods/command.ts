/** `pods`: which pod has which RDMA device. */
import { type Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { State, STATE_DIRECTORY } from "../../plugin/state.ts";
import { messageOf } from "../../sys/errno.ts";
import { replaceFile } from "../../sys/files.ts";
import { CommandError, ExitCode } from "../errors.ts";
import { addExamples } from "../help.ts";
import { type Context, printJson, type Terminal } from "../terminal.ts";
import { collect, type Collected } from "./collect.ts";
import { formatMetrics } from "./prometheus.ts";
import { formatDevices } from "./table.ts";

const FORMATS = ["table", "wide", "json", "prometheus"] as const;
type Format = typeof FORMATS[number];

const WATCH_SECONDS = 2;
const CLEAR_SCREEN = "\x1b[H\x1b[J";
/** The textfile collector reads files whose names end so. */
const METRICS_FILE = "rdma.prom";

const NOTES = `
The pods are those that the plugin's records name. Ports, counters and resources are read in each pod's network
namespace, in which nothing is left.

Exit codes:
  0  all devices are where the records say
  1  nothing could be read
  2  wrong command line
  3  some records are stale, some devices are missing, or some could not be read`;

/** Adds `pods`. */
export function addPodsCommand(program: Command, context: Context): void {
  const command = program.command("pods")
    .description("show which pod has which RDMA device, with its state and counters")
    .addOption(
      new Option("-o, --output <FORMAT>", "what to print").choices(FORMATS).default("table" as Format),
    )
    .addOption(new Option("--json", "the same as -o json").conflicts("output"))
    .addOption(
      new Option("--textfile <DIR>", `write metrics to DIR/${METRICS_FILE}, for node-exporter`)
        .argParser(parseDirectory).conflicts(["output", "json"]),
    )
    .option(
      "-w, --watch [SECONDS]",
      `read again every so many seconds, ${WATCH_SECONDS} if none are given`,
      parseSeconds,
    )
    .action(async ({ output, json = false, textfile, watch }) => {
      const write = textfile === undefined
        ? writerOf(json ? "json" : output, context.terminal)
        : (found: Collected) => writeMetrics(textfile, found);
      if (watch === undefined) return context.exit(show(context, write));
      const milliseconds = 1000 * (watch === true ? WATCH_SECONDS : watch);
      const { terminal, kernel } = context;
      while (!terminal.isClosed) {
        if (terminal.hasColor && textfile === undefined) terminal.out(CLEAR_SCREEN);
        context.exit(show(context, write));
        await kernel.delay(milliseconds);
      }
    });
  command.addHelpText("after", NOTES);
  addExamples(command, [
    ["pods", "which pod has which device"],
    ["pods -o wide --watch", "with traffic, resources and errors, every two seconds"],
    [`pods --json | jq '.[] | select(.status != "present")'`, "only what is not in its pod"],
    ["pods --textfile /var/lib/prometheus/node-exporter", "metrics for node-exporter"],
  ]);
}

/** Reads and writes once. @returns the exit code */
function show({ kernel, terminal }: Context, write: (found: Collected) => void): ExitCode {
  const found = collect(kernel, new State(STATE_DIRECTORY));
  write(found);
  for (const fault of found.faults) terminal.err(`${fault}\n`);
  const odd = found.devices.filter(({ status }) => status !== "present");
  for (const { record, status, advice } of odd) {
    if (advice) terminal.err(`${record} is ${status}: ${advice}\n`);
  }
  return odd.length + found.faults.length === 0 ? ExitCode.ok : ExitCode.partial;
}

function writerOf(format: Format, terminal: Terminal): (found: Collected) => void {
  switch (format) {
    case "json":
      return ({ devices }) =>
        printJson(
          terminal,
          devices.map((device) => ({ ...device, createdAt: new Date(device.createdAt).toISOString() })),
        );
    case "prometheus":
      return (found) => terminal.out(formatMetrics(found));
    default:
      return ({ devices }) => terminal.out(formatDevices(devices, format === "wide"));
  }
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

function parseDirectory(text: string): string {
  if (text.startsWith("/")) return text.replace(/(?<=.)\/+$/, "");
  throw new InvalidArgumentError("Want an absolute path.");
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== "" && seconds >= 0.1 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError("Want seconds, from 0.1 to 3600.");
}
