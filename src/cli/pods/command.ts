/** The command line of `pods`. */
import { type Command, Option } from "@commander-js/extra-typings";
import { State, STATE_DIRECTORY } from "../../plugin/state.ts";
import { addExamples } from "../help.ts";
import { readAbsolutePath } from "../option_values.ts";
import { JSON_OPTION, outputOption, QUIET } from "../output.ts";
import type { Context } from "../terminal.ts";
import { perform, WATCH } from "../watch.ts";
import { METRICS_FILE, showPods } from "./show.ts";

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
    .addOption(outputOption("wide", "prometheus"))
    .addOption(JSON_OPTION)
    .addOption(
      new Option("--textfile <DIR>", `write metrics to DIR/${METRICS_FILE}, for node-exporter`)
        .argParser(readAbsolutePath).conflicts(["output", "json"]),
    )
    .addOption(WATCH)
    .addOption(QUIET)
    .action(({ watch, ...options }) => {
      const node = { kernel: context.kernel, state: new State(STATE_DIRECTORY) };
      return perform(context, () => showPods(node, options), { watch });
    });
  command.addHelpText("after", NOTES);
  addExamples(command, [
    ["pods", "which pod has which device"],
    ["pods -o wide --watch", "with traffic, resources and errors, every two seconds"],
    [`pods --json | jq '.[] | select(.status != "present")'`, "only what is not in its pod"],
    ["pods --textfile /var/lib/prometheus/node-exporter", "metrics for node-exporter"],
  ]);
}
