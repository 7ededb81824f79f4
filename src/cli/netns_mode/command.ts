/** The command line of `netns-mode`. */
import { Argument, type Command, Option } from "@commander-js/extra-typings";
import { isRdmaMissing, type RdmaMode } from "../../kernel/kernel.ts";
import type { NodeKernel } from "../../kernel/node_kernel.ts";
import { ExitCode, toCommandError } from "../errors.ts";
import { addExamples, addNotes } from "../help.ts";
import { isDataFormat, JSON_OPTION, outputOption, QUIET } from "../output.ts";
import type { Context, Result } from "../terminal.ts";
import { perform } from "../watch.ts";
import { explainOldKernel, isChangeable } from "./change.ts";
import { readPersistedMode } from "./persist.ts";
import { setMode } from "./set.ts";

const MODES = ["exclusive", "shared"] as const;

const SET_NOTES = `
The kernel refuses while network namespaces other than the host's exist; the command then lists them.

Exit codes:
  0  the mode is set, with --persist also for later boots
  1  it could not be set, or could not be persisted
  2  wrong command line; nothing was done
  4  it could not be set now, but it is persisted: reboot`;

/** Adds `netns-mode` and its subcommands. */
export function addNetnsModeCommand(program: Command, context: Context): void {
  const { kernel } = context;
  const command = program.command("netns-mode")
    .description("show, set, check and persist the RDMA namespace mode");
  addExamples(command, [
    ["netns-mode get", "print the mode"],
    ["netns-mode set exclusive --persist", "each RDMA device in one namespace, now and after reboots"],
    ["netns-mode check --expect exclusive", "for health checks, by the exit code"],
  ]);

  const get = command.command("get")
    .description(
      "print the mode: exclusive or shared; as JSON or YAML also whether it is persisted and changeable",
    )
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .action((options) => perform(context, () => getMode(kernel, options)));
  addExamples(get, [
    ["netns-mode get", "print the mode"],
    ["netns-mode get -o yaml", "and where it is persisted, and what prevents a change"],
  ]);

  const set = command.command("set")
    .description("set the mode now, and on request for later boots")
    .addArgument(new Argument("<MODE>", "the mode to set").choices(MODES))
    .option("--persist", "also write it to /etc/modprobe.d/rdma-cni.conf")
    .option("--dry-run", "only print what would be done, with the exit code it would have")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(QUIET)
    .action((mode, options) => perform(context, () => setMode(kernel, mode, options)));
  addNotes(set, SET_NOTES);
  addExamples(set, [
    ["netns-mode set exclusive", "until the next reboot"],
    ["netns-mode set exclusive --persist", "also after reboots"],
    ["netns-mode set shared --persist --dry-run", "what that would do"],
  ]);

  const check = command.command("check")
    .description("check that the mode is the expected one: one line, and exit code 0 or 1")
    .addOption(
      new Option("--expect <MODE>", "the expected mode").choices(MODES).default("exclusive" as const),
    )
    .option("--or-none", "pass also where the kernel has no RDMA subsystem, and so no mode")
    .addOption(outputOption())
    .addOption(JSON_OPTION)
    .addOption(new Option("-q, --quiet", "print nothing if it is the expected one"))
    .action((options) => perform(context, () => checkMode(kernel, options)));
  addExamples(check, [
    ["netns-mode check", "is it exclusive?"],
    ["netns-mode check --expect shared", "is it shared?"],
    [
      "netns-mode check --or-none",
      "on nodes of which only some have RDMA: is it exclusive where there is one?",
    ],
  ]);
}

/**
 * `netns-mode get`: returns the namespace mode of the RDMA subsystem; for programs, also the mode after the next
 * load of ib_core and whether it could be changed now.
 */
export function getMode(kernel: NodeKernel, { output }: { readonly output?: string }, root = ""): Result {
  const mode = explainOldKernel(() => kernel.getRdmaMode());
  if (!isDataFormat(output)) return { text: `${mode}\n` };
  const { mode: persisted, sources } = readPersistedMode(root);
  const others = kernel.listOtherNetns();
  return {
    value: {
      mode,
      persisted: { mode: persisted ?? null, sources },
      changeable: isChangeable(others) ?? null,
      otherNetns: others.namespaces,
    },
  };
}

/** Options of `netns-mode check`. */
interface CheckOptions {
  readonly expect: RdmaMode;
  /** Also without an RDMA subsystem. */
  readonly orNone?: boolean | undefined;
}

/** `netns-mode check`: tells in one line whether the mode is the expected one. */
export function checkMode(kernel: NodeKernel, { expect, orNone = false }: CheckOptions): Result {
  const { text, ...told } = compareMode(kernel, expect, orNone);
  return {
    code: told.ok ? ExitCode.ok : ExitCode.failed,
    value: { ...told, expected: expect },
    text: ({ isQuiet }) => told.ok && isQuiet ? [] : [{ text: `${told.ok ? "ok" : "failed"}: ${text}` }],
  };
}

function compareMode(kernel: NodeKernel, expected: RdmaMode, orNone: boolean) {
  try {
    const mode = explainOldKernel(() => kernel.getRdmaMode());
    const found = `the RDMA namespace mode is ${mode}`;
    if (mode === expected) return { ok: true, mode, reason: found, fix: null, text: found };
    const reason = `${found}, want ${expected}`;
    const fix = `rdma-cni netns-mode set ${expected} --persist`;
    return { ok: false, mode, reason, fix, text: reason };
  } catch (error) {
    if (orNone && isRdmaMissing(error)) {
      const reason = "this kernel has no RDMA subsystem, so it has no RDMA namespace mode";
      return { ok: true, mode: null, reason, fix: null, text: reason };
    }
    const { message, advice } = toCommandError(error) as Error & { readonly advice?: string };
    const text = [message, advice].filter(Boolean).join(". ");
    return { ok: false, mode: null, reason: message, fix: advice ?? null, text };
  }
}
