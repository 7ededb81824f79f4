/** `pods`: which pod has which RDMA device. */
import { type Command, Option } from "@commander-js/extra-typings";
import { State, STATE_DIRECTORY } from "../../plugin/record/state.ts";
import { addExamples } from "../help.ts";
import { readAbsolutePath } from "../option_values.ts";
import { JSON_OPTION, outputOption, QUIET } from "../output.ts";
import type { Context } from "../terminal.ts";
import { WATCH } from "../watch.ts";
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
export function addPodsCommand(program: Command, { kernel, terminal, exit }: Context): void {
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
    .action(async ({ output: format, textfile, watch: watchMs }) => {
      const node = { kernel, state: new State(STATE_DIRECTORY) };
      exit(await showPods(node, terminal, { format, textfile, watchMs }));
    });
  command.addHelpText("after", NOTES);
  addExamples(command, [
    ["pods", "which pod has which device"],
    ["pods -o wide --watch", "with traffic, resources and errors, every two seconds"],
    [`pods --json | jq '.[] | select(.status != "present")'`, "only what is not in its pod"],
    ["pods --textfile /var/lib/prometheus/node-exporter", "metrics for node-exporter"],
  ]);
}
