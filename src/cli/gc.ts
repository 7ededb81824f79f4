/** `gc`: cleans up after pods that are gone. */
import type { Command } from "@commander-js/extra-typings";
import type { NodeKernel } from "../kernel/node_kernel.ts";
import { Log } from "../log.ts";
import {
  collectStale,
  describeOutcome,
  type Garbage,
  type GarbageOptions,
  type GcNode,
  isLeft,
} from "../node/garbage.ts";
import { INDEX_DIRECTORY, Memo } from "../plugin/record/memo.ts";
import { PAUSE_MS } from "../plugin/node.ts";
import { State, STATE_DIRECTORY } from "../plugin/record/state.ts";
import { ExitCode } from "./errors.ts";
import { addExamples, addNotes } from "./help.ts";
import { removedOption } from "./option_values.ts";
import { JSON_OPTION, outputOption, QUIET } from "./output.ts";
import type { Context, Remark, Reporter, Result } from "./terminal.ts";
import { perform } from "./watch.ts";

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
export function addGcCommand(program: Command, context: Context): void {
  const command = program.command("gc")
    .description("clean up after deleted pods: RDMA devices on the host, and records")
    .option("--network <NAME>", "only those of one network")
    .option("--dry-run", "only print what would be done")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET)
    .addOption(removedOption("-w, --watch [SECONDS]", "agent --gc-interval 15m"))
    .action((options) => {
      const { kernel, terminal } = context;
      return perform(context, () => collectGarbage(gcNode(kernel), terminal, options));
    });
  addNotes(command, NOTES);
  addExamples(command, [
    ["gc --dry-run", "what would be done"],
    ["gc", "for all networks"],
    ["gc --network roce --json", "for one network, with the outcome as JSON"],
  ]);
}

/** This machine. */
function gcNode(kernel: NodeKernel): GcNode {
  return { kernel, state: new State(STATE_DIRECTORY), indexes: new Memo(INDEX_DIRECTORY) };
}

/** Does what {@linkcode collectStale} does, and between two records lets waiting calls go first. */
export function collectGarbage(node: GcNode, reporter: Reporter, options: GarbageOptions = {}): Result {
  const { dryRun = false } = options;
  const log = new Log((line) => reporter.remark({ error: line.trimEnd() }));
  log.level = "warning";
  const steps = collectStale(node, log, options);
  let step = steps.next();
  for (; !step.done; step = steps.next()) node.kernel.sleep(PAUSE_MS); // the first waiting call takes the lock
  const found = step.value;
  const left = found.records.filter(isLeft);
  const isDone = dryRun || left.length === 0;
  const code = isDone ? ExitCode.ok : left.length < found.records.length ? ExitCode.partial : ExitCode.failed;
  return { code, value: { dryRun, ...found }, text: () => report(found, dryRun) };
}

function report({ records, unreadable, unexplainedDevices }: Garbage, dryRun: boolean): Remark[] {
  const told = (text: string): Remark => dryRun ? { plan: text } : { note: text };
  return [
    ...unreadable.map(({ fault }) => ({ error: `${fault}: left alone` })),
    ...records.map((one) => isLeft(one) ? { error: describeOutcome(one) } : told(describeOutcome(one))),
    ...unexplainedDevices.map(({ name, index, netns }) => ({
      note: `RDMA device ${name} (index ${index}) is in ${netns}, and no record says why: left alone`,
    })),
    ...records.length === 0 ? [told("No record is stale")] : [],
  ];
}
