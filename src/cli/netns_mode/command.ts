import { Argument, type Command, Option } from "@commander-js/extra-typings";
import type { NodeKernel, RdmaMode } from "../../kernel/kernel.ts";
import { ExitCode, toCommandError } from "../errors.ts";
import { addExamples, refuseUnknownCommands } from "../help.ts";
import { type Context, printJson, type Terminal } from "../terminal.ts";
import { isChangeable, tellingOldKernel } from "./change.ts";
import { readPersistedMode } from "./persist.ts";
import { setMode } from "./set.ts";

const MODES = ["exclusive", "shared"] as const;

const SET_NOTES = `
The kernel refuses while network namespaces other than the host's exist; they are listed then.

Exit codes:
  0  the mode holds; with --persist it also will
  1  it could not be set, or not be persisted
  2  the command line cannot be understood; nothing was done
  4  it could not be set now and is persisted: it needs a reboot`;

/** Adds `netns-mode` and what stands below it. */
export function addNetnsModeCommand(program: Command, { kernel, terminal, exit }: Context): void {
  const command = program.command("netns-mode")
    .description("show, set, check and persist the RDMA namespace mode");
  refuseUnknownCommands(command);
  addExamples(command, [
    ["netns-mode", "print the mode"],
    ["netns-mode set exclusive --persist", "give each RDMA device to one namespace, now and after reboots"],
    ["netns-mode check --expect exclusive", "tell by the exit code, for health checks"],
  ]);

  const get = command.command("get", { isDefault: true })
    .description("print the mode: exclusive or shared")
    .option("--json", "print also whether it is persisted, where, and whether it could be changed now")
    .action((options) => exit(getMode(kernel, terminal, options)));
  addExamples(get, [["netns-mode get", "print the mode"], [
    "netns-mode get --json",
    "print more, for machines",
  ]]);

  const set = command.command("set")
    .description("set the mode, now and on request for later boots")
    .addArgument(new Argument("<mode>", "what the mode shall be").choices(MODES))
    .option("--persist", "also write it to /etc/modprobe.d/rdma-cni.conf")
    .option("--dry-run", "tell what would be done, with the exit code it would have, and do nothing")
    .option("--json", "print what was done, and what stands in the way, for machines")
    .action((mode, options) => exit(setMode(kernel, terminal, mode, options)));
  set.addHelpText("after", SET_NOTES);
  addExamples(set, [
    ["netns-mode set exclusive", "until the next reboot"],
    ["netns-mode set exclusive --persist", "also after reboots"],
    ["netns-mode set shared --persist --dry-run", "what that would do"],
  ]);

  const check = command.command("check")
    .description("tell by exit code 0 or 1 and one line whether the mode is the expected one")
    .addOption(
      new Option("--expect <mode>", "the expected mode").choices(MODES).default("exclusive" as const),
    )
    .option("--json", "print the answer for machines")
    .action((options) => exit(checkMode(kernel, terminal, options)));
  addExamples(check, [["netns-mode check", "is it exclusive?"], [
    "netns-mode check --expect shared",
    "is it shared?",
  ]]);
}

/**
 * `netns-mode get`: prints the RDMA subsystem's namespace mode; as JSON, also what it will be after the next load of
 * ib_core and whether it could be changed now.
 */
export function getMode(
  kernel: NodeKernel,
  terminal: Terminal,
  { json = false }: { readonly json?: boolean | undefined },
  root = "",
): ExitCode {
  const mode = tellingOldKernel(() => kernel.getRdmaMode());
  if (!json) {
    terminal.out(`${mode}\n`);
    return ExitCode.ok;
  }
  const { mode: persisted, sources } = readPersistedMode(root);
  const others = kernel.listOtherNetns();
  printJson(terminal, {
    mode,
    persisted: { mode: persisted ?? null, sources },
    changeable: isChangeable(others) ?? null,
    otherNetns: others.namespaces,
  });
  return ExitCode.ok;
}

/** `netns-mode check`: one line on standard output and the exit code tell whether the mode is the expected one. */
export function checkMode(
  kernel: NodeKernel,
  terminal: Terminal,
  { expect, json = false }: { readonly expect: RdmaMode; readonly json?: boolean | undefined },
): ExitCode {
  const { mode, reason } = look(kernel, expect);
  const ok = mode === expect;
  if (json) printJson(terminal, { ok, mode: mode ?? null, expected: expect, reason });
  else terminal.out(`${ok ? "ok" : "failed"}: ${reason}\n`);
  return ok ? ExitCode.ok : ExitCode.failed;
}

function look(kernel: NodeKernel, expected: RdmaMode): { mode?: RdmaMode; reason: string } {
  try {
    const mode = tellingOldKernel(() => kernel.getRdmaMode());
    const wanted = mode === expected ? "" : `, want ${expected}`;
    return { mode, reason: `the RDMA namespace mode is ${mode}${wanted}` };
  } catch (error) {
    const told = toCommandError(error) as Error & { readonly advice?: string };
    return { reason: [told.message, told.advice].filter(Boolean).join(". ") };
  }
}
