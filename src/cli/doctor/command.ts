/** `doctor`: examines a node. */
import type { Command } from "@commander-js/extra-typings";
import { exists } from "../../kernel/sysfs.ts";
import { addExamples, addNotes } from "../help.ts";
import { type Inventory, takeInventory } from "../../node/inventory.ts";
import { State } from "../../plugin/record/state.ts";
import { findCommand, ownDirectoryIn } from "../install/layout.ts";
import { readAbsolutePath } from "../option_values.ts";
import { JSON_OPTION, outputOption, QUIET_VERDICTS } from "../output.ts";
import { EXIT_CODES, formatVerdicts, problem, worstLevel } from "../report.ts";
import type { Context, Result } from "../terminal.ts";
import { perform, WATCH } from "../watch.ts";
import { examineDevices, examinePods, examineSriov, examineVfs, mayHaveRdma } from "./devices.ts";
import { examine, type ExaminedNode, type Finding } from "./finding.ts";
import { examineKernel, examineLibmnl, examineMode, examineModules } from "./kernel.ts";
import { examineNetworks } from "./networks.ts";
import { examineInstalledPlugin, examineMultus } from "./plugin.ts";
import { examineRecords, stateDirectory } from "./records.ts";
import { examineRuntime, findCniBinDir } from "./runtime.ts";
import { showSummary, showToNodeProblemDetector } from "./summary.ts";

const NOTES = `
Each line is "ok", "warning" or "problem". Below the latter two, what follows "->" is for the shell: a command
that fixes it, or a comment where none can. doctor changes nothing.

--summary prints one line: how many of the RDMA devices are on the host, in pods, and lost. Health checks that count
the host's devices need it, because pods take devices away from there. With "-o npd" it is for node-problem-detector:
at most 80 characters, and exit code 0 for OK, 1 for NonOK, 2 for Unknown.

Exit codes:
  0  all is well
  1  problems: pods get no RDMA, or one has lost it
  2  wrong command line; nothing was examined
  3  only warnings: something is left over, or will be missing`;

/** Adds `doctor`. */
export function addDoctorCommand(program: Command, context: Context): void {
  const command = program.command("doctor")
    .description("show why RDMA works in this node's pods, or why not")
    .option(
      "--cni-bin-dir <DIR>",
      "directory of CNI plugins (default: that of this program if it is called rdma there, else what the runtime's " +
        "configuration says, else /opt/cni/bin)",
      readAbsolutePath,
    )
    .option("--summary", "print only whether all RDMA devices are accounted for")
    .addOption(outputOption("npd"))
    .addOption(JSON_OPTION)
    .addOption(WATCH)
    .addOption(QUIET_VERDICTS)
    .action(({ cniBinDir, watch, summary, output }, own) => {
      if (output === "npd" && !summary) own.error("error: -o npd goes with --summary");
      const { kernel } = context;
      const node = { kernel, root: "", executable: findCommand(Deno.execPath()), cniBinDir };
      const run = !summary ? runDoctor : output === "npd" ? showToNodeProblemDetector : showSummary;
      return perform(context, () => run(node), { watch });
    });
  addNotes(command, NOTES);
  addExamples(command, [
    ["doctor", "examine this node"],
    ["doctor --watch", "again every two seconds, while you repair it"],
    ["doctor --summary", "one line for a health check: whether all RDMA devices are accounted for"],
    [`doctor --json | jq '.findings[] | select(.level != "ok")'`, "only what is not ok, as JSON"],
  ]);
}

/** Examines a node. */
export async function runDoctor(node: ExaminedNode): Promise<Result> {
  const findings = await examineNode(node);
  const level = worstLevel(findings);
  return {
    code: EXIT_CODES[level],
    value: { level, findings },
    text: formatVerdicts(findings.map((finding) => ({ ...finding, about: finding.group })), {
      good: "This node is ready for RDMA in pods.",
      bad: "This node has",
    }),
  };
}

/** The finding on a node instead of everything else but the plugin, if that was installed there. */
const NO_ADAPTER = {
  group: "devices",
  ...problem("no RDMA adapter here", "# run pods with RDMA on other nodes"),
} as const;

/** Examines a node without changing it. Never throws. */
export async function examineNode(node: ExaminedNode): Promise<Finding[]> {
  const { root } = node;
  if (!mayHaveRdma(node)) {
    const wasInstalled = exists(`${root}${ownDirectoryIn(findCniBinDir(node))}`);
    return [NO_ADAPTER, ...wasInstalled ? await examine("plugin", () => examineInstalledPlugin(node)) : []];
  }
  let taken: Inventory | undefined;
  // Taken when a group needs it, of which a failure is a finding then, and once: all groups speak of one moment.
  const inventory = () => taken ??= takeInventory(node.kernel, new State(stateDirectory(root)));
  const groups = [
    await examine("kernel", () => examineKernel(node)),
    await examine("modules", () => examineModules(root)),
    await examine("mode", () => examineMode(node)),
    await examine("libmnl", () => examineLibmnl(node)),
    await examine("sriov", () => examineSriov(root)),
    await examine("vfs", () => examineVfs(node, () => inventory().namespaces)),
    await examine("devices", () => [
      ...examineDevices(node, inventory()),
      ...examinePods(node, inventory()),
    ]),
    await examine("records", () => examineRecords(node, inventory())),
    await examine("networks", () => examineNetworks(root)),
    await examine("plugin", () => examineInstalledPlugin(node)),
    await examine("multus", () => examineMultus(root)),
    await examine("runtime", () => examineRuntime(root)),
  ];
  return groups.flat();
}
